"""What an image must be for a server of a flavor to boot from it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from novamesh.failures import NotFoundError
from novamesh.image.v1.image_service_pb2 import GetImageRequest
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.image_pb2 import Image, ImageStatus

GIB = 1 << 30


async def find_image(
    call: ComputeRequest, image_id: str, missing: str = "Can not find requested image"
) -> Image:
    """An image that the caller sees. Raises HttpError 400 with the words of `missing`."""
    try:
        answer = await call.state.images.GetImage(
            GetImageRequest(image_id=image_id), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(400, missing) from None
    image: Image = answer.image
    return image


async def check_boot_files(call: ComputeRequest, image: Image) -> None:
    """Refuse an image whose kernel or ramdisk the caller may not see.

    An image's owner writes their ids as properties, and hosts read images of every project.
    """
    named = [image.properties.get(name) for name in ("kernel_id", "ramdisk_id")]
    for part in await asyncio.gather(*(find_image(call, image_id) for image_id in named if image_id)):
        if part.status != ImageStatus.IMAGE_STATUS_ACTIVE:
            raise HttpError(400, f"Image {part.id} is not active.")


def refuse_certificates(given: Mapping[str, Any]) -> None:
    """Refuse to promise what isn't done. Raises HttpError 400."""
    if given.get("trusted_image_certificates"):
        raise HttpError(
            400,
            "Invalid input for field/attribute trusted_image_certificates. "
            "This cloud does not verify signatures of images.",
        )


def check_image(image: Image, flavor: Flavor, *, zero_disk_allowed: bool) -> None:
    """Raise HttpError 400 (403 for a flavor without disk) when the server could never boot."""
    if image.status != ImageStatus.IMAGE_STATUS_ACTIVE:
        raise HttpError(400, f"Image {image.id} is not active.")
    if flavor.memory_mb < image.min_ram_mb:
        raise HttpError(400, "Flavor's memory is too small for requested image.")
    if flavor.root_gb == 0:
        # The disk will be as large as the image, which can be anything.
        if not zero_disk_allowed:
            raise HttpError(403, "Only volume-backed servers are allowed for flavors with zero disk.")
        return
    disk = flavor.root_gb * GIB
    size = image.virtual_size or image.size
    if size > disk:
        raise HttpError(
            400,
            "Flavor's disk is too small for requested image. "
            f"Flavor disk is {disk} bytes, image is {size} bytes.",
        )
    least = image.min_disk_gb * GIB
    if least > disk:
        raise HttpError(
            400,
            "Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {disk} bytes, minimum size is {least} bytes.",
        )


def image_properties(image: Image, flavor: Flavor) -> dict[str, str]:
    """The image's properties as its servers keep them, and as they are shown from 2.98 on."""
    return {
        **image.properties,
        "base_image_ref": image.id,
        "container_format": image.container_format,
        "disk_format": image.disk_format,
        "min_disk": str(flavor.root_gb or image.min_disk_gb),
        "min_ram": str(image.min_ram_mb),
    }

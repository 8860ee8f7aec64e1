"""Images that a new cloud starts with: registered from files, once.

Calls are made with an administrator's certificate and no user, so the images
belong to nobody and are public.
"""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    ListImagesRequest,
    UpdateImageRequest,
    UploadImageRequest,
    UploadStart,
)
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_ACTIVE,
    IMAGE_STATUS_QUEUED,
    IMAGE_VISIBILITY_PUBLIC,
    Image,
)
from novamesh.types.v1.image_query_pb2 import ImageQuery

if TYPE_CHECKING:
    from novamesh.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub

_CHUNK_BYTES = 1 << 20
# Seconds that the upload of one image may take.
_UPLOAD_TIMEOUT = 600.0
# Ids of seeded images are made from their names and data, so that two that seed at once make the same image.
_NAMESPACE = uuid.UUID("6f0f3c52-5d0c-4a39-9a0b-7f3f7a1b6a11")


@dataclass(frozen=True)
class ImageSeed:
    """An image to be: its record and the file that holds its data."""

    name: str
    path: Path
    disk_format: str
    container_format: str = "bare"
    min_disk_gb: int = 0
    min_ram_mb: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)


async def seed_image(images: "ImageServiceAsyncStub", seed: ImageSeed) -> Image:
    """The public, active image of this name with this data and these properties, made if it isn't there.

    An image of the same name with other data is hidden, not deleted: instances that were built from it go on.
    Raises OSError naming the file, and the failures of the image role.
    """
    digest = await asyncio.to_thread(_digest, seed.path)
    listed = await images.ListImages(ListImagesRequest(query=ImageQuery(names=[seed.name], hidden=False)))
    wanted = _id(seed, digest)
    found: Image | None = None
    for image in listed.images:
        if image.id == wanted:
            found = image
        elif image.visibility == IMAGE_VISIBILITY_PUBLIC and not image.owner:
            await images.UpdateImage(
                UpdateImageRequest(
                    image_id=image.id, image=Image(hidden=True), update_mask=FieldMask(paths=["hidden"])
                )
            )
    if found is None:
        found = (
            await images.CreateImage(CreateImageRequest(image=_record(seed, wanted), request_id=wanted))
        ).image
    if found.hidden:
        # The data came back to what it was once.
        shown = UpdateImageRequest(
            image_id=found.id, image=Image(hidden=False), update_mask=FieldMask(paths=["hidden"])
        )
        found = (await images.UpdateImage(shown)).image
    if found.status == IMAGE_STATUS_QUEUED:
        answer = await images.UploadImage(_messages(seed.path, found.id), timeout=_UPLOAD_TIMEOUT)
        found = answer.image
    if found.status != IMAGE_STATUS_ACTIVE:
        raise ValueError(f"image {seed.name} ({found.id}) is not active: delete it and start again")
    return found


async def seed_triple(images: "ImageServiceAsyncStub", seed: ImageSeed, kernel: Path, ramdisk: Path) -> Image:
    """Like seed_image, for an Amazon machine image with its kernel and ramdisk beside it."""
    aki = await seed_image(images, ImageSeed(f"{seed.name}-kernel", kernel, "aki", "aki"))
    ari = await seed_image(images, ImageSeed(f"{seed.name}-ramdisk", ramdisk, "ari", "ari"))
    properties = {**seed.properties, "kernel_id": aki.id, "ramdisk_id": ari.id}
    machine = ImageSeed(seed.name, seed.path, "ami", "ami", seed.min_disk_gb, seed.min_ram_mb, properties)
    return await seed_image(images, machine)


def _record(seed: ImageSeed, image_id: str) -> Image:
    return Image(
        id=image_id,
        name=seed.name,
        visibility=IMAGE_VISIBILITY_PUBLIC,
        disk_format=seed.disk_format,
        container_format=seed.container_format,
        min_disk_gb=seed.min_disk_gb,
        min_ram_mb=seed.min_ram_mb,
        properties=seed.properties,
    )


def _id(seed: ImageSeed, digest: str) -> str:
    parts = [seed.name, seed.disk_format, digest, *(f"{k}={v}" for k, v in sorted(seed.properties.items()))]
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def _messages(path: Path, image_id: str) -> AsyncIterator[UploadImageRequest]:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        yield UploadImageRequest(start=UploadStart(image_id=image_id, size=size))
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield UploadImageRequest(chunk=chunk)

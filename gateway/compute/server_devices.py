"""Block devices of a create: the image that a server boots from. Others are refused by name."""

from collections.abc import Mapping
from typing import Any

from gateway.faults import HttpError

_FIELD = "Block Device Mapping is Invalid: "


def boot_image(given: Mapping[str, Any]) -> str:
    """The image that imageRef or block_device_mapping_v2 names. Raises HttpError 400."""
    if given.get("block_device_mapping") and given.get("block_device_mapping_v2"):
        raise HttpError(
            400, "Using different block_device_mapping syntaxes is not allowed in the same request."
        )
    if given.get("block_device_mapping"):
        raise HttpError(400, f"{_FIELD}this cloud has no volumes, so block_device_mapping can't be honoured.")
    image = given.get("imageRef") or ""
    for device in given.get("block_device_mapping_v2") or ():
        mapped = _mapped_image(device)
        if image and mapped != image:
            raise HttpError(400, f"{_FIELD}imageRef and the device with boot_index 0 name different images.")
        image = mapped
    if not image:
        known = "imageRef" in given or given.get("block_device_mapping_v2")
        raise HttpError(400, "Invalid imageRef provided." if known else "Missing imageRef attribute")
    return str(image)


def _mapped_image(device: Mapping[str, Any]) -> str:
    source = device.get("source_type", "image" if device.get("image_id") else None)
    if source is None:
        source = "volume" if device.get("volume_id") else "snapshot" if device.get("snapshot_id") else ""
    destination = device.get("destination_type", "local" if source == "image" else "volume")
    if source != "image" or destination != "local":
        raise HttpError(
            400,
            f"{_FIELD}source_type {source or 'none'} to destination_type {destination} is not available: "
            "servers boot from an image on a local disk.",
        )
    index = device.get("boot_index")
    if index is not None and int(index) != 0:
        raise HttpError(400, f"{_FIELD}an image can only be the boot device (boot_index 0).")
    image = device.get("uuid") or device.get("image_id")
    if not image:
        raise HttpError(400, f"{_FIELD}uuid of the image is missing.")
    return str(image)

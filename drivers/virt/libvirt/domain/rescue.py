"""What a guest is defined from while it is rescued."""

from collections.abc import Sequence

from drivers.virt.libvirt.domain.guest import (
    BUSES,
    RESCUE,
    DiskDevice,
    DiskNames,
    GuestDisk,
    cdrom_bus,
    image_property,
)
from drivers.virt.libvirt.options import LibvirtOptions
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import RescueArguments

_DEVICES: dict[str, DiskDevice] = {"disk": "disk", "cdrom": "cdrom", "floppy": "floppy"}
_PREFIX = "image_"


def plan_rescue(
    instance: Instance, rescue: RescueArguments, disks: Sequence[GuestDisk], options: LibvirtOptions
) -> tuple[Instance, tuple[GuestDisk, ...]]:
    """The record and the disks of a rescued guest; `disks` are those that it has.

    An image with hw_rescue_device or hw_rescue_bus comes as one more disk of the guest as it is. Any other
    takes the place of the root disk, on hardware as the rescue image wants it, with the root disk behind it
    and without the other local disks. Raises ImageUnacceptableError for properties that can't be.
    """
    guest = Instance()
    guest.CopyFrom(instance)
    image = Instance(id=instance.id, image_id=rescue.image_id)
    for name, value in rescue.properties.items():
        image.system_metadata[_PREFIX + name] = value
    if "hw_rescue_device" in rescue.properties or "hw_rescue_bus" in rescue.properties:
        device = _DEVICES[image_property(image, "hw_rescue_device", "disk", _DEVICES)]
        defaults = {"cdrom": cdrom_bus(instance, options), "floppy": "fdc"}
        bus = image_property(
            image,
            "hw_rescue_bus",
            defaults.get(device) or image_property(image, "hw_disk_bus", "virtio"),
            BUSES,
        )
        return guest, (*disks, _rescue_disk(DiskNames(disks), bus, options, device))
    for name in [name for name in guest.system_metadata if name.startswith(_PREFIX)]:
        del guest.system_metadata[name]
    guest.system_metadata.update(image.system_metadata)
    bus = image_property(image, "hw_disk_bus", "virtio", BUSES)
    names = DiskNames()
    planned = [_rescue_disk(names, bus, options, "disk")]
    for disk in disks:
        if disk.kind == "root":
            planned.append(GuestDisk(disk.kind, disk.file, disk.disk_format, names.take(bus), bus, disk.size))
        elif disk.kind == "config":
            planned.append(disk)
    return guest, tuple(planned)


def _rescue_disk(names: DiskNames, bus: str, options: LibvirtOptions, device: DiskDevice) -> GuestDisk:
    return GuestDisk("rescue", "disk" + RESCUE, options.images_type, names.take(bus), bus, device=device)

"""What a domain's definition is made from: the record, and what is on the disk."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from drivers.virt.libvirt.options import LibvirtOptions
from drivers.virt.qemu_img import GIB, MIB
from novamesh.failures import ImageUnacceptableError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance

DiskKind = Literal["root", "ephemeral", "swap", "config", "rescue"]
DiskDevice = Literal["disk", "cdrom", "floppy"]

_TRUE = frozenset({"true", "t", "yes", "y", "on", "1"})
# Ends the names of files that a guest has while it is rescued.
RESCUE = ".rescue"
# How Linux names disks of a bus.
_PREFIX = {"virtio": "vd", "scsi": "sd", "sata": "sd", "usb": "sd", "ide": "hd", "fdc": "fd"}
BUSES = frozenset(_PREFIX)


@dataclass(frozen=True, slots=True)
class GuestDisk:
    """One disk of a guest, as a file in its folder."""

    kind: DiskKind
    file: str
    disk_format: str
    target: str
    bus: str
    size: int = 0
    """Bytes that the guest sees; 0 for those of its image."""
    device: DiskDevice = "disk"
    """What the guest takes it for."""


@dataclass(frozen=True, slots=True)
class Guest:
    """One guest to define."""

    instance: Instance
    options: LibvirtOptions
    virt_type: str
    """kvm or qemu."""
    folder: Path
    disks: tuple[GuestDisk, ...]
    kernel: bool = False
    """True when a kernel lies in the folder, to be booted without a boot loader."""
    ramdisk: bool = False
    """True when a ramdisk lies beside it."""
    as_root: bool = False
    """True when only root can reach the folder, so QEMU has to run as root."""
    rescue_image: str = ""
    """The image that the guest is rescued from; empty for one that starts as it should."""

    @property
    def name(self) -> str:
        """libvirt's name of the guest."""
        return self.options.instance_name_template % self.instance.number

    @property
    def bootable(self) -> tuple[GuestDisk, ...]:
        """The disks to boot from, in the order in which the firmware is to try them."""
        disks = [disk for disk in self.disks if disk.kind != "config"]
        return tuple(sorted(disks, key=lambda disk: disk.kind != "rescue"))

    def boot_file(self, name: str) -> Path:
        """Where the kernel or the ramdisk lies."""
        return self.folder / (f"{name}{RESCUE}" if self.rescue_image else name)


def image_property(instance: Instance, name: str, default: str, allowed: Collection[str] = ()) -> str:
    """A property of the instance's image. Raises ImageUnacceptableError for a value that isn't allowed."""
    value = instance.system_metadata.get(f"image_{name}", "") or default
    if allowed and value not in allowed:
        raise ImageUnacceptableError(
            instance.image_id,
            "property",
            f"The image's property {name} is {value!r}; it can be {', '.join(sorted(allowed))}.",
        )
    return value


def has_guest_agent(instance: Instance) -> bool:
    """True when the image says that its guests run the QEMU guest agent."""
    return image_property(instance, "hw_qemu_guest_agent", "no").lower() in _TRUE


def machine_type(instance: Instance, options: LibvirtOptions) -> str:
    """Machine type of the guest."""
    return image_property(instance, "hw_machine_type", options.hw_machine_type)


def plan_disks(instance: Instance, options: LibvirtOptions, config_drive: bool) -> tuple[GuestDisk, ...]:
    """Disks of an instance in the order in which the guest finds them.

    Blank devices of a block device mapping take the place of the flavor's
    ephemeral and swap disks. Raises NotSupportedError for volumes.
    """
    bus = image_property(instance, "hw_disk_bus", "virtio", BUSES)
    names = DiskNames()
    disks = [
        GuestDisk("root", "disk", options.images_type, names.take(bus), bus, instance.flavor.root_gb * GIB)
    ]
    ephemerals: list[int] = []
    swap = 0
    for device in instance.block_devices:
        if device.destination_type == "volume":
            raise NotSupportedError("volumes", "This host's driver can't attach volumes yet.")
        if device.source_type != "blank":
            continue
        if device.guest_format == "swap":
            swap = device.size_gb * GIB
        else:
            ephemerals.append(device.size_gb * GIB)
    if not ephemerals and instance.flavor.ephemeral_gb:
        ephemerals.append(instance.flavor.ephemeral_gb * GIB)
    for position, size in enumerate(ephemerals):
        disks.append(GuestDisk("ephemeral", f"disk.eph{position}", "raw", names.take(bus), bus, size))
    if swap or instance.flavor.swap_mb:
        size = swap or instance.flavor.swap_mb * MIB
        disks.append(GuestDisk("swap", "disk.swap", "raw", names.take(bus), bus, size))
    if config_drive:
        cdrom = cdrom_bus(instance, options)
        disks.append(GuestDisk("config", "disk.config", "raw", names.take(cdrom), cdrom, device="cdrom"))
    return tuple(disks)


def cdrom_bus(instance: Instance, options: LibvirtOptions) -> str:
    """The bus of CD drives."""
    default = "sata" if "q35" in machine_type(instance, options) else "ide"
    return image_property(instance, "hw_cdrom_bus", default, BUSES)


class DiskNames:
    """Device names in the guest, in order; after those of disks that it has already."""

    def __init__(self, disks: Iterable[GuestDisk] = ()) -> None:
        self._taken: dict[str, int] = {}
        for disk in disks:
            self.take(disk.bus)

    def take(self, bus: str) -> str:
        """The next name on a bus, for example `vdb`."""
        prefix = _PREFIX[bus]
        number = self._taken.get(prefix, 0)
        self._taken[prefix] = number + 1
        return prefix + chr(ord("a") + number)

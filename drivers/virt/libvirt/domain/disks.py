"""Disks and the config drive."""

from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest


def add_disks(devices: ET.Element, guest: Guest) -> None:
    """Add a `<disk>` for each file."""
    order = {disk.file: position for position, disk in enumerate(guest.bootable, 1)}
    for disk in guest.disks:
        cdrom = disk.device == "cdrom"
        element = ET.SubElement(devices, "disk", type="file", device=disk.device)
        driver = ET.SubElement(element, "driver", name="qemu", type=disk.disk_format)
        if guest.options.disk_cachemode and not cdrom:
            driver.set("cache", guest.options.disk_cachemode)
        ET.SubElement(element, "source", file=str(guest.folder / disk.file))
        ET.SubElement(element, "target", dev=disk.target, bus=disk.bus)
        if cdrom:
            ET.SubElement(element, "readonly")
        if disk.file in order and not guest.kernel:
            ET.SubElement(element, "boot", order=str(order[disk.file]))

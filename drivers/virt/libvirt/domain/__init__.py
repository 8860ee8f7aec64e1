"""libvirt's definition of a guest, one file for each family of elements."""

from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.consoles import add_consoles
from drivers.virt.libvirt.domain.devices import add_devices
from drivers.virt.libvirt.domain.disks import add_disks
from drivers.virt.libvirt.domain.guest import (
    RESCUE,
    Guest,
    GuestDisk,
    has_guest_agent,
    image_property,
    plan_disks,
)
from drivers.virt.libvirt.domain.interfaces import add_interfaces
from drivers.virt.libvirt.domain.metadata import add_metadata, is_ours, rescue_image
from drivers.virt.libvirt.domain.rescue import plan_rescue
from drivers.virt.libvirt.domain.system import add_system

__all__ = [
    "RESCUE",
    "Guest",
    "GuestDisk",
    "domain_xml",
    "has_guest_agent",
    "image_property",
    "is_ours",
    "plan_disks",
    "plan_rescue",
    "rescue_image",
]


def domain_xml(guest: Guest) -> str:
    """The definition, ready for libvirt. Raises ImageUnacceptableError for impossible image properties."""
    domain = ET.Element("domain", type=guest.virt_type)
    ET.SubElement(domain, "uuid").text = guest.instance.id
    ET.SubElement(domain, "name").text = guest.name
    add_metadata(domain, guest)
    add_system(domain, guest)
    devices = ET.SubElement(domain, "devices")
    add_disks(devices, guest)
    add_interfaces(devices, guest)
    add_consoles(devices, guest)
    add_devices(devices, guest)
    if guest.as_root:
        label = ET.SubElement(domain, "seclabel", type="static", model="dac", relabel="no")
        ET.SubElement(label, "label").text = "+0:+0"
    return ET.tostring(domain, encoding="unicode")

"""What the definition says of the instance: Nova's element, which monitoring tools read, and our own."""

import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest

NOVA = "http://openstack.org/xmlns/libvirt/nova/1.1"
OURS = "urn:novamesh:libvirt:1"

ET.register_namespace("nova", NOVA)
ET.register_namespace("novamesh", OURS)

# Characters that XML 1.0 can't hold at all, and users' names can.
_UNSPEAKABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def add_metadata(domain: ET.Element, guest: Guest) -> None:
    """Add `<metadata>`."""
    instance = guest.instance
    metadata = ET.SubElement(domain, "metadata")
    # The folder tells our guests from those of another cloud on the same libvirtd.
    ours = ET.SubElement(metadata, f"{{{OURS}}}guest", instances=_folder(Path(guest.options.instances_path)))
    if guest.rescue_image:
        ours.set("rescue", _speakable(guest.rescue_image))
    nova = ET.SubElement(metadata, f"{{{NOVA}}}instance")
    _text(nova, "name", instance.display_name)
    flavor = ET.SubElement(nova, f"{{{NOVA}}}flavor", name=_speakable(instance.flavor.name))
    _text(flavor, "memory", str(instance.flavor.memory_mb))
    _text(flavor, "disk", str(instance.flavor.root_gb))
    _text(flavor, "swap", str(instance.flavor.swap_mb))
    _text(flavor, "ephemeral", str(instance.flavor.ephemeral_gb))
    _text(flavor, "vcpus", str(instance.flavor.vcpus))
    owner = ET.SubElement(nova, f"{{{NOVA}}}owner")
    _text(owner, "user", instance.user_id).set("uuid", _speakable(instance.user_id))
    _text(owner, "project", instance.project_id).set("uuid", _speakable(instance.project_id))
    if instance.image_id:
        ET.SubElement(nova, f"{{{NOVA}}}root", type="image", uuid=_speakable(instance.image_id))


def is_ours(element: str, instances_path: str) -> bool:
    """True when a domain's metadata element of our namespace says that it belongs to this folder."""
    # The element is libvirt's answer about a domain's own definition, which only root can write.
    return ET.fromstring(element).get("instances") == _folder(Path(instances_path))  # noqa: S314


def rescue_image(element: str) -> str:
    """The image that a domain's metadata element of our namespace says it is rescued from; empty for none."""
    # As above.
    return ET.fromstring(element).get("rescue", "")  # noqa: S314


def _folder(path: Path) -> str:
    return os.path.abspath(path)


def _text(parent: ET.Element, name: str, text: str) -> ET.Element:
    element = ET.SubElement(parent, f"{{{NOVA}}}{name}")
    element.text = _speakable(text)
    return element


def _speakable(text: str) -> str:
    return _UNSPEAKABLE.sub("\ufffd", text)

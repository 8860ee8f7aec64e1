"""Network cards."""

from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest, image_property
from novamesh.types.v1.network_pb2 import VirtualInterface

_MODELS = frozenset({"virtio", "e1000", "e1000e", "rtl8139", "pcnet", "ne2k_pci", "vmxnet3"})


def add_interfaces(devices: ET.Element, guest: Guest) -> None:
    """Add an `<interface>` for each card, in order."""
    model = image_property(guest.instance, "hw_vif_model", "virtio", _MODELS)
    for interface in sorted(guest.instance.interfaces, key=lambda card: card.position):
        devices.append(interface_element(interface, model))


def interface_element(interface: VirtualInterface, model: str) -> ET.Element:
    """One card: libvirt makes the tap device by the name given and puts it on the bridge."""
    element = ET.Element("interface", type="bridge")
    ET.SubElement(element, "mac", address=interface.mac_address)
    ET.SubElement(element, "source", bridge=interface.network.bridge)
    ET.SubElement(element, "target", dev=interface.device)
    ET.SubElement(element, "model", type=model)
    if interface.network.mtu:
        ET.SubElement(element, "mtu", size=str(interface.network.mtu))
    # The network boots no guest: without this, iPXE would be loaded and waited for.
    ET.SubElement(element, "rom", enabled="no")
    return element

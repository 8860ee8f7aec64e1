"""Serial console with its log, graphical consoles, and what people point and type with."""

from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest, image_property

CONSOLE_LOG = "console.log"

_VIDEO_MODELS = frozenset({"vga", "cirrus", "qxl", "virtio", "bochs", "none"})


def add_consoles(devices: ET.Element, guest: Guest) -> None:
    """Add serial, graphics, video and input devices."""
    serial = ET.SubElement(devices, "serial", type="pty")
    # Appended to, so that the log of earlier starts is kept, and a restored guest doesn't cut it.
    ET.SubElement(serial, "log", file=str(guest.folder / CONSOLE_LOG), append="on")
    ET.SubElement(serial, "target", port="0")
    vnc, spice = guest.options.vnc, guest.options.spice
    if not (vnc.enabled or spice.enabled):
        return
    ET.SubElement(devices, "input", type="tablet", bus="usb")
    if vnc.enabled:
        element = _add_graphics(devices, "vnc", vnc.server_listen)
        if vnc.keymap:
            element.set("keymap", vnc.keymap)
    if spice.enabled:
        _add_graphics(devices, "spice", spice.server_listen)
        if spice.agent_enabled:
            channel = ET.SubElement(devices, "channel", type="spicevmc")
            ET.SubElement(channel, "target", type="virtio", name="com.redhat.spice.0")
    default = "qxl" if spice.enabled else "vga"
    model = image_property(guest.instance, "hw_video_model", default, _VIDEO_MODELS)
    ET.SubElement(ET.SubElement(devices, "video"), "model", type=model)


def _add_graphics(devices: ET.Element, kind: str, listen: str) -> ET.Element:
    element = ET.SubElement(devices, "graphics", type=kind, port="-1", autoport="yes", listen=listen)
    ET.SubElement(element, "listen", type="address", address=listen)
    return element

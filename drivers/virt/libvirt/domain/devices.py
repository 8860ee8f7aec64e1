"""Random numbers, the memory balloon and the guest agent's channel."""

from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest, has_guest_agent


def add_devices(devices: ET.Element, guest: Guest) -> None:
    """Add what every guest gets."""
    options = guest.options
    if options.rng_dev_path:
        # A guest that has just been made has no entropy of its own, and makes its ssh host keys with it.
        rng = ET.SubElement(devices, "rng", model="virtio")
        ET.SubElement(rng, "backend", model="random").text = options.rng_dev_path
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    if options.mem_stats_period_seconds:
        ET.SubElement(balloon, "stats", period=str(options.mem_stats_period_seconds))
    if has_guest_agent(guest.instance):
        # libvirt chooses the socket.
        channel = ET.SubElement(devices, "channel", type="unix")
        ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")

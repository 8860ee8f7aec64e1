"""Memory, processors, firmware, kernel, clock, and what happens when the guest ends."""

import platform
from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.guest import Guest, image_property, machine_type


def add_system(domain: ET.Element, guest: Guest) -> None:
    """Add everything outside `<devices>`."""
    flavor = guest.instance.flavor
    ET.SubElement(domain, "memory", unit="MiB").text = str(flavor.memory_mb)
    ET.SubElement(domain, "vcpu", placement="static").text = str(flavor.vcpus)
    _add_sysinfo(domain, guest)
    _add_os(domain, guest)
    features = ET.SubElement(domain, "features")
    # Without ACPI a guest has no power button to press.
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    _add_cpu(domain, guest)
    _add_clock(domain, guest)
    ET.SubElement(domain, "on_poweroff").text = "destroy"
    ET.SubElement(domain, "on_reboot").text = "restart"
    ET.SubElement(domain, "on_crash").text = "destroy"


def _add_sysinfo(domain: ET.Element, guest: Guest) -> None:
    """Firmware tables: cloud-init takes the product's name as a sign to look for OpenStack's metadata."""
    system = ET.SubElement(ET.SubElement(domain, "sysinfo", type="smbios"), "system")
    for name, text in (
        ("manufacturer", "novamesh"),
        ("product", "OpenStack Compute"),
        ("serial", guest.instance.id),
        ("uuid", guest.instance.id),
        ("family", "Virtual Machine"),
    ):
        ET.SubElement(system, "entry", name=name).text = text


def _add_os(domain: ET.Element, guest: Guest) -> None:
    instance = guest.instance
    system = ET.SubElement(domain, "os")
    kind = ET.SubElement(
        system, "type", arch=platform.machine(), machine=machine_type(instance, guest.options)
    )
    kind.text = "hvm"
    if guest.kernel:
        ET.SubElement(system, "kernel").text = str(guest.boot_file("kernel"))
        if guest.ramdisk:
            ET.SubElement(system, "initrd").text = str(guest.boot_file("ramdisk"))
        root = "/dev/" + guest.bootable[0].target
        if instance.root_device_name and not guest.rescue_image:
            root = instance.root_device_name
        line = image_property(instance, "os_command_line", f"root={root} console=tty0 console=ttyS0")
        ET.SubElement(system, "cmdline").text = line
    ET.SubElement(system, "smbios", mode="sysinfo")


def _add_cpu(domain: ET.Element, guest: Guest) -> None:
    options = guest.options
    # Emulation has no host's processor to resemble; its least one lacks what recent distributions ask for.
    mode = options.cpu_mode or ("host-model" if guest.virt_type == "kvm" else "maximum")
    if mode == "none":
        return
    cpu = ET.SubElement(domain, "cpu", mode=mode)
    if mode == "maximum" and guest.virt_type == "qemu" and platform.machine() == "x86_64":
        # Page tables of five levels: no guest needs them, and each emulated access to memory walks them.
        ET.SubElement(cpu, "feature", name="la57", policy="disable")
    if mode == "custom":
        cpu.set("match", "exact")
        ET.SubElement(cpu, "model", fallback="allow").text = options.cpu_model


def _add_clock(domain: ET.Element, guest: Guest) -> None:
    windows = image_property(guest.instance, "os_type", "linux") == "windows"
    clock = ET.SubElement(domain, "clock", offset="localtime" if windows else "utc")
    if guest.virt_type == "kvm":
        ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
        ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
        ET.SubElement(clock, "timer", name="hpet", present="no")

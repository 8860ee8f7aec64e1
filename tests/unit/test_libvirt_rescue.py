"""Definitions of rescued guests, and of guests with an agent."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from drivers.virt.libvirt.domain import Guest, domain_xml, plan_disks, plan_rescue, rescue_image
from drivers.virt.libvirt.domain.metadata import OURS
from drivers.virt.libvirt.options import LibvirtOptions
from novamesh.failures import ImageUnacceptableError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import RescueArguments

ID = "8f0d3f0e-41a5-4d6f-9a7b-0d3c1f1b2a3c"
OPTIONS = LibvirtOptions(instances_path="/srv/instances")
FOLDER = Path("/srv/instances") / ID


def instance(**properties: str) -> Instance:
    flavor = Flavor(name="m1.tiny", vcpus=1, memory_mb=512, root_gb=1, ephemeral_gb=3)
    made = Instance(id=ID, number=42, flavor=flavor, image_id="image", root_device_name="/dev/vda")
    for name, value in properties.items():
        made.system_metadata[f"image_{name}"] = value
    return made


def rescued(record: Instance, *, kernel: bool = False, **properties: str) -> ET.Element:
    rescue = RescueArguments(image_id="rescuer", properties=properties)
    guest, disks = plan_rescue(record, rescue, plan_disks(record, OPTIONS, True), OPTIONS)
    definition = Guest(guest, OPTIONS, "qemu", FOLDER, disks, kernel, rescue_image="rescuer")
    return ET.fromstring(domain_xml(definition))


def disks(domain: ET.Element) -> list[tuple[str, str, str, str]]:
    """File, name in the guest, kind of device and place in the order of boot of each disk."""
    found = []
    for disk in domain.iterfind("devices/disk"):
        source, target, boot = disk.find("source"), disk.find("target"), disk.find("boot")
        assert source is not None
        assert target is not None
        order = "" if boot is None else boot.get("order", "")
        file = Path(source.get("file", "")).name
        found.append((file, target.get("dev", ""), disk.get("device", ""), order))
    return found


def test_the_rescue_disk_takes_the_place_of_the_root_disk() -> None:
    domain = rescued(instance())
    assert disks(domain) == [
        ("disk.rescue", "vda", "disk", "1"),
        ("disk", "vdb", "disk", "2"),
        ("disk.config", "hda", "cdrom", ""),
    ]
    element = domain.find(f"metadata/{{{OURS}}}guest")
    assert element is not None
    assert rescue_image(ET.tostring(element, encoding="unicode")) == "rescuer"


def test_hardware_is_the_rescue_images() -> None:
    domain = rescued(instance(hw_vif_model="e1000", hw_disk_bus="scsi"), hw_disk_bus="sata")
    assert [name for _, name, _, _ in disks(domain)][:2] == ["sda", "sdb"]
    assert {target.get("bus") for target in domain.iterfind("devices/disk[@device='disk']/target")} == {
        "sata"
    }


def test_a_stable_rescue_leaves_every_disk_where_it_was() -> None:
    domain = rescued(instance(), hw_rescue_bus="virtio")
    assert disks(domain) == [
        ("disk", "vda", "disk", "2"),
        ("disk.eph0", "vdb", "disk", "3"),
        ("disk.config", "hda", "cdrom", ""),
        ("disk.rescue", "vdc", "disk", "1"),
    ]
    cdrom = disks(rescued(instance(), hw_rescue_device="cdrom"))
    assert cdrom[-1] == ("disk.rescue", "hdb", "cdrom", "1")
    floppy = disks(rescued(instance(), hw_rescue_device="floppy"))
    assert floppy[-1] == ("disk.rescue", "fda", "floppy", "1")


def test_a_rescue_device_that_cannot_be() -> None:
    with pytest.raises(ImageUnacceptableError, match="hw_rescue_device"):
        rescued(instance(), hw_rescue_device="tape")
    with pytest.raises(ImageUnacceptableError, match="hw_rescue_bus"):
        rescued(instance(), hw_rescue_bus="string")


def test_a_rescue_kernel_boots_the_rescue_disk() -> None:
    domain = rescued(instance(), kernel=True)
    assert domain.findtext("os/kernel") == str(FOLDER / "kernel.rescue")
    assert (domain.findtext("os/cmdline") or "").startswith("root=/dev/vda ")
    stable = rescued(instance(), kernel=True, hw_rescue_bus="virtio")
    assert (stable.findtext("os/cmdline") or "").startswith("root=/dev/vdc ")


@pytest.mark.parametrize(("value", "there"), [("yes", True), ("True", True), ("no", False), (None, False)])
def test_the_channel_of_the_guest_agent(value: str | None, there: bool) -> None:
    record = instance(hw_qemu_guest_agent=value) if value else instance()
    guest = Guest(record, OPTIONS, "qemu", FOLDER, plan_disks(record, OPTIONS, False))
    names = [
        target.get("name") for target in ET.fromstring(domain_xml(guest)).iterfind("devices/channel/target")
    ]
    assert names == (["org.qemu.guest_agent.0"] if there else [])

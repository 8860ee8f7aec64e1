"""The definition of a guest as it is written; that libvirt takes it is for the conformance suite to show."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from drivers.virt.libvirt.domain import Guest, domain_xml, is_ours, plan_disks
from drivers.virt.libvirt.domain.metadata import NOVA, OURS
from drivers.virt.libvirt.options import LibvirtOptions, SpiceOptions, VncOptions
from novamesh.failures import ImageUnacceptableError, NotSupportedError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import BlockDevice, Instance
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

ID = "8f0d3f0e-41a5-4d6f-9a7b-0d3c1f1b2a3c"
OPTIONS = LibvirtOptions(instances_path="/srv/instances")


def instance(**fields: object) -> Instance:
    flavor = Flavor(name="m1.tiny", vcpus=2, memory_mb=512, root_gb=1, ephemeral_gb=3, swap_mb=64)
    return Instance(id=ID, number=42, flavor=flavor, image_id="image", **fields)  # type: ignore[arg-type]


def define(
    record: Instance, options: LibvirtOptions = OPTIONS, config_drive: bool = False, **fields: object
) -> ET.Element:
    disks = plan_disks(record, options, config_drive)
    guest = Guest(record, options, "qemu", Path("/srv/instances") / ID, disks)
    return ET.fromstring(domain_xml(replace(guest, **fields)))  # type: ignore[arg-type]


def text(domain: ET.Element, path: str) -> str | None:
    return domain.findtext(path)


def test_identity_and_size() -> None:
    domain = define(instance())
    assert domain.get("type") == "qemu"
    assert text(domain, "name") == "instance-0000002a"
    assert text(domain, "uuid") == ID
    assert (text(domain, "memory"), text(domain, "vcpu")) == ("512", "2")


def test_disks_in_order() -> None:
    domain = define(instance(), config_drive=True)
    found = [
        (disk.get("device"), disk.find("target").get("dev"), Path(disk.find("source").get("file")).name)  # type: ignore[union-attr, arg-type]
        for disk in domain.iterfind("devices/disk")
    ]
    assert found == [
        ("disk", "vda", "disk"),
        ("disk", "vdb", "disk.eph0"),
        ("disk", "vdc", "disk.swap"),
        ("cdrom", "hda", "disk.config"),
    ]


def test_blank_devices_take_the_place_of_the_flavors() -> None:
    blank = BlockDevice(source_type="blank", destination_type="local", size_gb=1)
    swap = BlockDevice(source_type="blank", destination_type="local", size_gb=2, guest_format="swap")
    disks = plan_disks(instance(block_devices=[blank, blank, swap]), OPTIONS, False)
    assert [(disk.kind, disk.size >> 30) for disk in disks] == [
        ("root", 1),
        ("ephemeral", 1),
        ("ephemeral", 1),
        ("swap", 2),
    ]


def test_volumes_are_refused() -> None:
    volume = BlockDevice(source_type="volume", destination_type="volume")
    with pytest.raises(NotSupportedError):
        plan_disks(instance(block_devices=[volume]), OPTIONS, False)


def test_kernel_of_an_ami() -> None:
    domain = define(instance(root_device_name="/dev/sda1"), kernel=True, ramdisk=True)
    assert text(domain, "os/kernel") == f"/srv/instances/{ID}/kernel"
    assert text(domain, "os/initrd") == f"/srv/instances/{ID}/ramdisk"
    assert text(domain, "os/cmdline") == "root=/dev/sda1 console=tty0 console=ttyS0"
    assert text(define(instance()), "os/kernel") is None


def test_interfaces_in_order_of_position() -> None:
    cards = [
        VirtualInterface(
            position=position,
            network=Network(bridge=f"br{position}", mtu=1400 * position),
            mac_address=f"fa:16:3e:00:00:0{position}",
            device=f"tap{position}",
        )
        for position in (1, 0)
    ]
    first, second = define(instance(interfaces=cards)).iterfind("devices/interface")
    assert first.find("source").get("bridge") == "br0"  # type: ignore[union-attr]
    assert first.find("mtu") is None
    assert second.find("target").get("dev") == "tap1"  # type: ignore[union-attr]
    assert second.find("mtu").get("size") == "1400"  # type: ignore[union-attr]
    assert second.find("model").get("type") == "virtio"  # type: ignore[union-attr]


def test_image_properties_choose_hardware() -> None:
    properties = {"image_hw_disk_bus": "ide", "image_hw_vif_model": "e1000", "image_hw_video_model": "qxl"}
    card = VirtualInterface(network=Network(bridge="br0"), device="tap0")
    domain = define(instance(system_metadata=properties, interfaces=[card]), config_drive=True)
    assert domain.find("devices/interface/model").get("type") == "e1000"  # type: ignore[union-attr]
    assert domain.find("devices/video/model").get("type") == "qxl"  # type: ignore[union-attr]
    targets = [target.get("dev") for target in domain.iterfind("devices/disk/target")]
    assert targets == ["hda", "hdb", "hdc", "hdd"]


def test_impossible_image_property() -> None:
    with pytest.raises(ImageUnacceptableError, match="hw_disk_bus is 'floppy'"):
        define(instance(system_metadata={"image_hw_disk_bus": "floppy"}))


def test_metadata_is_ours_and_novas() -> None:
    domain = define(instance(display_name="a <b> \x01 \U0001f980"))
    assert text(domain, f"metadata/{{{NOVA}}}instance/{{{NOVA}}}name") == "a <b> \ufffd \U0001f980"
    element = domain.find(f"metadata/{{{OURS}}}guest")
    assert element is not None
    assert is_ours(ET.tostring(element, encoding="unicode"), "/srv/../srv/instances")
    assert not is_ours(ET.tostring(element, encoding="unicode"), "/srv/others")


def test_consoles() -> None:
    domain = define(instance())
    log = domain.find("devices/serial/log")
    assert log is not None
    assert (log.get("file"), log.get("append")) == (f"/srv/instances/{ID}/console.log", "on")
    assert [g.get("type") for g in domain.iterfind("devices/graphics")] == ["vnc"]
    both = replace(OPTIONS, spice=SpiceOptions(enabled=True))
    assert [g.get("type") for g in define(instance(), both).iterfind("devices/graphics")] == ["vnc", "spice"]
    none = replace(OPTIONS, vnc=VncOptions(enabled=False))
    assert define(instance(), none).find("devices/video") is None


def test_label_where_only_root_reaches() -> None:
    assert define(instance()).find("seclabel") is None
    label = define(instance(), as_root=True).find("seclabel")
    assert label is not None
    assert (label.get("model"), label.get("relabel"), label.findtext("label")) == ("dac", "no", "+0:+0")


def test_emulated_processor_has_no_fifth_page_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    feature = define(instance()).find("cpu/feature")
    assert feature is not None
    assert feature.attrib == {"name": "la57", "policy": "disable"}
    assert define(instance(), virt_type="kvm").find("cpu/feature") is None


def test_processor() -> None:
    assert define(instance()).find("cpu").get("mode") == "maximum"  # type: ignore[union-attr]
    assert define(instance(), virt_type="kvm").find("cpu").get("mode") == "host-model"  # type: ignore[union-attr]
    custom = define(instance(), replace(OPTIONS, cpu_mode="custom", cpu_model="Nehalem"))
    assert custom.findtext("cpu/model") == "Nehalem"
    assert define(instance(), replace(OPTIONS, cpu_mode="none")).find("cpu") is None

"""What a guest reads of itself, against documents written down by hand."""

import base64
import json

import pytest

from novamesh.failures import NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import BlockDevice, Instance
from novamesh.types.v1.network_pb2 import Network, NetworkMode, VirtualInterface
from services.metadata import MetadataOptions
from services.metadata.documents import config_drive, read
from services.metadata.openstack import Source

KEY = "ssh-ed25519 AAAAC3Nza demo@laptop"
NETWORK = Network(
    id="99e88329-f20d-4741-9593-25bf07847b16",
    mode=NetworkMode.NETWORK_MODE_FLAT_DHCP,
    cidr="10.80.0.0/24",
    gateway="10.80.0.1",
    dns1="9.9.9.9",
)
CARD = VirtualInterface(
    id="cd9f6d46-4a3a-43ab-a466-994af9db96fc",
    network=NETWORK,
    mac_address="fa:16:3e:9c:bf:3d",
    address="10.80.0.5",
    device="tapcd9f6d46-4a",
    floating_addresses=["203.0.113.7"],
    tag="inside",
)
INSTANCE = Instance(
    id="d8e02d56-2648-49a3-bf97-6be8f1204f38",
    number=42,
    project_id="f7ac731cc11f40efbc03a9f9e1d1d21f",
    display_name="Test server",
    hostname="test-server",
    availability_zone="nova",
    flavor=Flavor(name="m1.tiny"),
    image_id="1f2e3d4c-0000-4000-8000-000000000001",
    kernel_id="2f2e3d4c-0000-4000-8000-000000000001",
    ramdisk_id="3f2e3d4c-0000-4000-8000-000000000001",
    root_device_name="/dev/vda",
    key_name="mykey",
    key_data=KEY,
    user_data=b"#!/bin/sh\necho \xff\n",
    metadata={"role": "webserver"},
    interfaces=[CARD],
    block_devices=[
        BlockDevice(source_type="image", device_name="/dev/vda", boot_index=0, tag="root", disk_bus="virtio"),
        BlockDevice(source_type="blank", device_name="/dev/vdb", boot_index=-1),
        BlockDevice(source_type="blank", device_name="/dev/vdc", boot_index=-1, guest_format="swap"),
        BlockDevice(source_type="volume", destination_type="volume", device_name="/dev/vdd", boot_index=-1),
    ],
    reservation_id="r-abcdefgh",
    launch_index=3,
)
BARE = Instance(
    id="d8e02d56-2648-49a3-bf97-6be8f1204f39", number=1, hostname="bare", flavor=Flavor(name="m1.tiny")
)


def text(path: str, instance: Instance = INSTANCE) -> str:
    return read(Source(instance, "novalocal", b"{}"), path)[1].decode()


def document(path: str, instance: Instance = INSTANCE) -> dict[str, object]:
    content_type, body = read(Source(instance, "novalocal", b'{"puppet": "p1"}'), path)
    assert content_type == "application/json"
    parsed: dict[str, object] = json.loads(body)
    return parsed


EC2_LEAVES = {
    "ami-id": "ami-1f2e3d4c",
    "ami-launch-index": "3",
    "ami-manifest-path": "FIXME",
    "block-device-mapping/ami": "vda",
    "block-device-mapping/ebs0": "/dev/vdd",
    "block-device-mapping/ephemeral0": "/dev/vdb",
    "block-device-mapping/root": "/dev/vda",
    "block-device-mapping/swap": "/dev/vdc",
    "hostname": "test-server.novalocal",
    "instance-action": "none",
    "instance-id": "i-0000002a",
    "instance-type": "m1.tiny",
    "kernel-id": "aki-2f2e3d4c",
    "local-hostname": "test-server.novalocal",
    "local-ipv4": "10.80.0.5",
    "placement/availability-zone": "nova",
    "public-hostname": "test-server.novalocal",
    "public-ipv4": "203.0.113.7",
    "public-keys/0/openssh-key": KEY,
    "ramdisk-id": "ari-3f2e3d4c",
    "reservation-id": "r-abcdefgh",
    "security-groups": "default",
}


@pytest.mark.parametrize(("path", "value"), EC2_LEAVES.items())
def test_ec2_leaf(path: str, value: str) -> None:
    assert text(f"/2009-04-04/meta-data/{path}") == value
    assert text(f"/latest/meta-data/{path}/") == value
    assert text(f"/ec2/latest/meta-data/{path}") == value


def test_ec2_listings() -> None:
    assert text("/").splitlines() == [
        "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
        "2008-09-01", "2009-04-04", "latest",
    ]  # fmt: skip
    assert text("/latest/") == "meta-data/\nuser-data"
    assert text("/2009-04-04/meta-data/").splitlines() == [
        "ami-id", "ami-launch-index", "ami-manifest-path", "block-device-mapping/", "hostname",
        "instance-action", "instance-id", "instance-type", "kernel-id", "local-hostname", "local-ipv4",
        "placement/", "public-hostname", "public-ipv4", "public-keys/", "ramdisk-id", "reservation-id",
        "security-groups",
    ]  # fmt: skip
    assert text("/latest/meta-data/public-keys/") == "0=mykey"
    assert text("/latest/meta-data/public-keys/0/") == "openssh-key"
    assert text("/latest/meta-data/placement") == "availability-zone"


def test_ec2_older_versions_know_less() -> None:
    assert text("/1.0/meta-data").splitlines() == [
        "ami-id", "ami-launch-index", "ami-manifest-path", "hostname", "instance-id", "local-ipv4",
        "public-keys/", "reservation-id", "security-groups",
    ]  # fmt: skip
    assert "instance-type" not in text("/2007-03-01/meta-data").splitlines()
    assert "instance-type" in text("/2007-08-29/meta-data").splitlines()
    assert "kernel-id" not in text("/2007-10-10/meta-data").splitlines()
    assert "placement/" not in text("/2007-12-15/meta-data").splitlines()
    assert "instance-action" not in text("/2008-02-01/meta-data").splitlines()


def test_ec2_of_a_bare_instance() -> None:
    assert text("/latest", BARE) == "meta-data/"
    assert text("/latest/meta-data/local-ipv4", BARE) == ""
    names = text("/latest/meta-data", BARE).splitlines()
    assert not {"public-keys/", "kernel-id", "ramdisk-id"} & set(names)
    assert text("/latest/meta-data/block-device-mapping/root", BARE) == "/dev/vda"


def test_user_data_is_the_bytes_that_the_user_gave() -> None:
    source = Source(INSTANCE, "", b"{}")
    assert read(source, "/latest/user-data")[1] == INSTANCE.user_data
    assert read(source, "/openstack/latest/user_data") == ("application/octet-stream", INSTANCE.user_data)


def test_without_a_domain_the_name_stands_alone() -> None:
    assert read(Source(INSTANCE, "", b"{}"), "/latest/meta-data/hostname")[1] == b"test-server"


@pytest.mark.parametrize(
    "path",
    [
        "/nosuch", "/2010-01-01/meta-data", "/latest/meta-data/nosuch", "/latest/meta-data/hostname/x",
        "/latest/meta-data/public-keys/0/_name", "/latest/meta-data/public-keys/1", "/openstack/2011-01-01",
        "/openstack/latest/nosuch", "/openstack/latest/meta_data.json/x", "/openstack/content/0000",
        "/openstack/2012-08-10/password", "/openstack/2013-04-04/vendor_data.json", "/ec2/nosuch",
        "/openstack/2013-10-17/network_data.json", "/openstack/2016-06-30/vendor_data2.json",
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(path: str) -> None:
    with pytest.raises(NotFoundError):
        text(path)


def test_absent_user_data_is_not_found() -> None:
    for path in ("/latest/user-data", "/openstack/latest/user_data"):
        with pytest.raises(NotFoundError):
            text(path, BARE)


def test_openstack_listings() -> None:
    assert text("/openstack/").splitlines() == [
        "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
        "2018-08-27", "2020-10-14", "latest",
    ]  # fmt: skip
    assert text("/openstack/2012-08-10").splitlines() == ["meta_data.json", "user_data"]
    assert text("/openstack/2012-08-10", BARE).splitlines() == ["meta_data.json"]
    assert text("/openstack/latest").splitlines() == [
        "meta_data.json", "user_data", "password", "vendor_data.json", "network_data.json",
        "vendor_data2.json",
    ]  # fmt: skip


def test_meta_data_json() -> None:
    data = document("/openstack/latest/meta_data.json")
    seed = data.pop("random_seed")
    assert isinstance(seed, str)
    assert len(base64.b64decode(seed)) == 512
    assert data == {
        "uuid": "d8e02d56-2648-49a3-bf97-6be8f1204f38",
        "name": "Test server",
        "hostname": "test-server.novalocal",
        "launch_index": 3,
        "availability_zone": "nova",
        "meta": {"role": "webserver"},
        "public_keys": {"mykey": KEY},
        "keys": [{"name": "mykey", "type": "ssh", "data": KEY}],
        "project_id": "f7ac731cc11f40efbc03a9f9e1d1d21f",
        "devices": [
            {
                "type": "nic",
                "bus": "none",
                "address": "none",
                "mac": "fa:16:3e:9c:bf:3d",
                "tags": ["inside"],
            },
            {"type": "disk", "bus": "virtio", "address": "none", "path": "/dev/vda", "tags": ["root"]},
        ],
        "dedicated_cpus": [],
    }


def test_meta_data_json_seeds_differ() -> None:
    path = "/openstack/latest/meta_data.json"
    assert document(path)["random_seed"] != document(path)["random_seed"]


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("2012-08-10", {"random_seed", "project_id", "devices", "dedicated_cpus"}),
        ("2013-10-17", {"project_id", "devices", "dedicated_cpus"}),
        ("2015-10-15", {"devices", "dedicated_cpus"}),
        ("2018-08-27", {"dedicated_cpus"}),
    ],
)
def test_meta_data_json_of_older_versions(version: str, missing: set[str]) -> None:
    newest = set(document("/openstack/latest/meta_data.json"))
    assert set(document(f"/openstack/{version}/meta_data.json")) == newest - missing


def test_meta_data_json_of_a_bare_instance() -> None:
    data = document("/openstack/2012-08-10/meta_data.json", BARE)
    assert set(data) == {"uuid", "name", "hostname", "launch_index", "availability_zone"}


def test_an_x509_key_is_called_one() -> None:
    instance = Instance(key_name="k", key_data="-----BEGIN CERTIFICATE-----\n...")
    assert document("/openstack/latest/meta_data.json", instance)["keys"] == [
        {"name": "k", "type": "x509", "data": instance.key_data}
    ]


def test_network_data_json() -> None:
    assert document("/openstack/latest/network_data.json") == {
        "links": [
            {
                "id": "tapcd9f6d46-4a",
                "vif_id": "cd9f6d46-4a3a-43ab-a466-994af9db96fc",
                "type": "bridge",
                "mtu": None,
                "ethernet_mac_address": "fa:16:3e:9c:bf:3d",
            }
        ],
        "networks": [
            {
                "id": "network0",
                "link": "tapcd9f6d46-4a",
                "network_id": "99e88329-f20d-4741-9593-25bf07847b16",
                "type": "ipv4_dhcp",
            }
        ],
        "services": [{"type": "dns", "address": "9.9.9.9"}],
    }


def test_network_data_json_tells_addresses_where_nobody_answers_dhcp() -> None:
    card = VirtualInterface()
    card.CopyFrom(CARD)
    card.network.mode = NetworkMode.NETWORK_MODE_FLAT
    data = document("/openstack/latest/network_data.json", Instance(interfaces=[card]))
    assert data["networks"] == [
        {
            "id": "network0",
            "link": "tapcd9f6d46-4a",
            "network_id": "99e88329-f20d-4741-9593-25bf07847b16",
            "type": "ipv4",
            "ip_address": "10.80.0.5",
            "netmask": "255.255.255.0",
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.80.0.1"}],
        }
    ]


def test_vendor_data() -> None:
    assert document("/openstack/latest/vendor_data.json") == {"puppet": "p1"}
    assert document("/openstack/latest/vendor_data2.json") == {"static": {"puppet": "p1"}}


def test_vendor_data_must_be_an_object() -> None:
    for wrong in ("[]", "{", "1"):
        with pytest.raises(ValueError, match="vendordata"):
            MetadataOptions(vendordata=wrong)


def test_password_is_joined_from_its_pieces() -> None:
    assert text("/openstack/latest/password") == ""
    stored = Instance(system_metadata={"password_0": "ab", "password_1": "cd"})
    assert text("/openstack/latest/password", stored) == "abcd"


def test_config_drive() -> None:
    files = dict(config_drive(Source(INSTANCE, "novalocal", b"{}")))
    assert {path.partition("/")[2].partition("/")[0] for path in files if path.startswith("openstack")} == {
        "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
        "2018-08-27", "2020-10-14", "latest",
    }  # fmt: skip
    assert {path for path in files if "latest" in path} == {
        "ec2/latest/meta-data.json",
        "ec2/latest/user-data",
        "openstack/latest/meta_data.json",
        "openstack/latest/network_data.json",
        "openstack/latest/user_data",
        "openstack/latest/vendor_data.json",
        "openstack/latest/vendor_data2.json",
    }
    ec2 = json.loads(files["ec2/latest/meta-data.json"])
    assert ec2["public-keys"] == {"0": {"openssh-key": KEY}}
    assert ec2["placement"] == {"availability-zone": "nova"}
    assert ec2["security-groups"] == ["default"]
    assert files["openstack/latest/user_data"] == INSTANCE.user_data
    assert json.loads(files["openstack/2012-08-10/meta_data.json"])["uuid"] == INSTANCE.id

"""Metadata in OpenStack's form: a few JSON files, in dated versions that each add some.

Source: the user guide's chapter "Metadata" and the schema of network_data.json in
Nova's documentation.
"""

import base64
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import orjson

from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import NetworkMode, VirtualInterface
from services.metadata.ec2 import host_name

VERSIONS = (
    "2012-08-10",
    "2013-04-04",
    "2013-10-17",
    "2015-10-15",
    "2016-06-30",
    "2016-10-06",
    "2017-02-22",
    "2018-08-27",
    "2020-10-14",
)
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
# Where injected files are, beside the versions.
CONTENT = "content"


@dataclass(frozen=True)
class Source:
    """What the files are made of."""

    instance: Instance
    domain: str
    # The operator's JSON object, as text.
    vendordata: bytes


@dataclass(frozen=True)
class _File:
    since: str
    content_type: str
    render: Callable[[Source, str], bytes]


def names(source: Source, version: str) -> Sequence[str]:
    """The files of a version, in the order in which they are listed. Raises ValueError."""
    order = VERSIONS.index(version)
    return [
        name
        for name, file in _FILES.items()
        if VERSIONS.index(file.since) <= order and (name != "user_data" or source.instance.user_data)
    ]


def read(source: Source, version: str, name: str) -> tuple[str, bytes]:
    """Content type and content of one file. Raises KeyError, or ValueError for the version."""
    if name not in names(source, version):
        raise KeyError(name)
    file = _FILES[name]
    return file.content_type, file.render(source, version)


def content_names(instance: Instance) -> list[tuple[str, str]]:
    """Names below `content` of the files that the user injects, and their paths in the guest."""
    return [(f"{number:04d}", path) for number, path in enumerate(sorted(instance.injected_files))]


def content(instance: Instance, name: str) -> bytes:
    """One of these files. Raises KeyError."""
    return instance.injected_files[dict(content_names(instance))[name]]


def _meta_data(source: Source, version: str) -> bytes:
    instance, order = source.instance, VERSIONS.index(version)
    data: dict[str, Any] = {
        "uuid": instance.id,
        "name": instance.display_name,
        "hostname": host_name(instance, source.domain),
        "launch_index": instance.launch_index,
        "availability_zone": instance.availability_zone,
    }
    if instance.metadata:
        data["meta"] = dict(instance.metadata)
    if instance.injected_files:
        data["files"] = [
            {"path": path, "content_path": f"/{CONTENT}/{name}"} for name, path in content_names(instance)
        ]
    if instance.key_name:
        data["public_keys"] = {instance.key_name: instance.key_data}
        kind = "x509" if instance.key_data.startswith("-----BEGIN CERTIFICATE") else "ssh"
        data["keys"] = [{"name": instance.key_name, "type": kind, "data": instance.key_data}]
    if order >= VERSIONS.index("2013-04-04"):
        # Fresh at every reading: a guest takes it once, and nobody else may know it.
        data["random_seed"] = base64.b64encode(os.urandom(512)).decode()
    if order >= VERSIONS.index("2015-10-15"):
        data["project_id"] = instance.project_id
    if order >= VERSIONS.index("2016-06-30"):
        data["devices"] = _devices(instance)
    if order >= VERSIONS.index("2020-10-14"):
        # No driver pins CPUs yet, whatever the flavor asks for.
        data["dedicated_cpus"] = []
    return orjson.dumps(data)


def _devices(instance: Instance) -> list[dict[str, Any]]:
    """Tagged cards and disks; where on its bus the guest finds one is not known here, and Nova then says
    none too."""
    cards = [
        {"type": "nic", "bus": "none", "address": "none", "mac": card.mac_address, "tags": [card.tag]}
        for card in instance.interfaces
        if card.tag
    ]
    disks = [
        {
            "type": "disk",
            "bus": device.disk_bus or "none",
            "address": "none",
            "path": device.device_name,
            "tags": [device.tag],
        }
        for device in instance.block_devices
        if device.tag
    ]
    return [*cards, *disks]


def _network_data(source: Source, version: str) -> bytes:
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    servers: dict[str, None] = {}
    for card in source.instance.interfaces:
        links.append(
            {
                "id": card.device,
                "vif_id": card.id,
                "type": "bridge",
                "mtu": card.network.mtu or None,
                "ethernet_mac_address": card.mac_address,
            }
        )
        networks.append(_network(card, len(networks)))
        dns = [server for server in (card.network.dns1, card.network.dns2) if server]
        servers |= dict.fromkeys(dns or [card.network.gateway])
    services = [{"type": "dns", "address": server} for server in servers if server]
    return orjson.dumps({"links": links, "networks": networks, "services": services})


def _network(card: VirtualInterface, number: int) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": f"network{number}",
        "link": card.device,
        "network_id": card.network.id,
        "type": "ipv4_dhcp",
    }
    if card.network.mode == NetworkMode.NETWORK_MODE_FLAT:
        # Nobody answers DHCP there: the guest has to be told.
        subnet = IPv4Network(card.network.cidr)
        data |= {
            "type": "ipv4",
            "ip_address": card.address,
            "netmask": str(subnet.netmask),
            "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": card.network.gateway}],
        }
    return data


def _user_data(source: Source, version: str) -> bytes:
    return source.instance.user_data


def _password(source: Source, version: str) -> bytes:
    # Encrypted to the user's key by the guest, in pieces that fit a column.
    pieces = (source.instance.system_metadata.get(f"password_{number}", "") for number in range(4))
    return "".join(pieces).encode()


def _vendor_data(source: Source, version: str) -> bytes:
    return source.vendordata


def _vendor_data2(source: Source, version: str) -> bytes:
    return b'{"static":' + source.vendordata + b"}"


_FILES = {
    "meta_data.json": _File("2012-08-10", JSON, _meta_data),
    "user_data": _File("2012-08-10", "application/octet-stream", _user_data),
    "password": _File("2013-04-04", TEXT, _password),
    "vendor_data.json": _File("2013-10-17", JSON, _vendor_data),
    "network_data.json": _File("2015-10-15", JSON, _network_data),
    "vendor_data2.json": _File("2016-10-06", JSON, _vendor_data2),
}

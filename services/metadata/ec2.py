"""Metadata in EC2's form: a tree of names with text at the leaves, in nine dated versions.

Source: the EC2 user guide's "instance metadata categories" up to 2009-04-04, and what
Nova answers where the two differ.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from novamesh.types.v1.instance_pb2 import Instance

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
)

Leaf: TypeAlias = "str | bytes | int | Sequence[str]"
Tree: TypeAlias = "Mapping[str, Leaf | Tree]"
# How the listing above it shows a folder, where that is not its name and a slash.
LISTED_AS = "_name"


def ec2_id(kind: str, uuid: str) -> str:
    """An id in EC2's form for what only has a UUID: `ami-` and the UUID's first eight digits."""
    return f"{kind}-{uuid.replace('-', '')[:8]:0<8}"


def instance_id(instance: Instance) -> str:
    """`i-0000002a`."""
    return f"i-{instance.number:08x}"


def host_name(instance: Instance, domain: str) -> str:
    """The guest's full name."""
    return f"{instance.hostname}.{domain}" if domain else instance.hostname


def tree(instance: Instance, version: str, domain: str) -> dict[str, "Leaf | Tree"]:
    """What is below `/{version}/`. Raises ValueError for a version that there isn't."""
    since = VERSIONS.index(version)
    name = host_name(instance, domain)
    card = instance.interfaces[0] if instance.interfaces else None
    data: dict[str, Leaf | Tree] = {
        "ami-id": ec2_id("ami", instance.image_id) if instance.image_id else "",
        "ami-launch-index": instance.launch_index,
        # Nova's own word; nobody knows the manifest once the image is registered.
        "ami-manifest-path": "FIXME",
        "hostname": name,
        "instance-id": instance_id(instance),
        "local-ipv4": card.address if card else "",
        "reservation-id": instance.reservation_id,
        "security-groups": list(instance.security_groups) or ["default"],
    }
    if instance.key_name:
        # /public-keys/ lists `0=name`, and the key itself is in /public-keys/0/.
        data["public-keys"] = {"0": {LISTED_AS: f"0={instance.key_name}", "openssh-key": instance.key_data}}
    if since >= VERSIONS.index("2007-01-19"):
        data["local-hostname"] = name
        data["public-hostname"] = name
        data["public-ipv4"] = next((a for c in instance.interfaces for a in c.floating_addresses), "")
    if since >= VERSIONS.index("2007-08-29"):
        data["instance-type"] = instance.flavor.name
    if since >= VERSIONS.index("2007-12-15"):
        data["block-device-mapping"] = _block_devices(instance)
        if instance.kernel_id:
            data["kernel-id"] = ec2_id("aki", instance.kernel_id)
        if instance.ramdisk_id:
            data["ramdisk-id"] = ec2_id("ari", instance.ramdisk_id)
    if since >= VERSIONS.index("2008-02-01"):
        data["placement"] = {"availability-zone": instance.availability_zone}
    if since >= VERSIONS.index("2008-09-01"):
        data["instance-action"] = "none"
    top: dict[str, Leaf | Tree] = {"meta-data": data}
    if instance.user_data:
        top["user-data"] = instance.user_data
    return top


def find(data: "Leaf | Tree", path: Sequence[str]) -> "Leaf | Tree":
    """What is at a path. Raises KeyError."""
    for name in path:
        if not isinstance(data, Mapping) or name == LISTED_AS:
            raise KeyError(name)
        data = data[name]
    return data


def render(data: "Leaf | Tree") -> bytes:
    """A leaf as it is, a list by line, a folder as the names in it."""
    if isinstance(data, bytes):
        return data
    if isinstance(data, Mapping):
        names = sorted(name for name in data if name != LISTED_AS)
        return "\n".join(_listed(name, data[name]) for name in names).encode()
    if isinstance(data, str | int):
        return str(data).encode()
    return "\n".join(data).encode()


def plain(data: "Leaf | Tree") -> object:
    """The same for a config drive's JSON, without what only listings need."""
    if isinstance(data, Mapping):
        return {name: plain(value) for name, value in data.items() if name != LISTED_AS}
    return data


def _listed(name: str, value: "Leaf | Tree") -> str:
    if isinstance(value, Mapping):
        listed_as = value.get(LISTED_AS)
        return listed_as if isinstance(listed_as, str) else f"{name}/"
    return name


def _block_devices(instance: Instance) -> dict[str, "Leaf | Tree"]:
    root = instance.root_device_name or "/dev/vda"
    found: dict[str, Leaf | Tree] = {"ami": root.removeprefix("/dev/"), "root": root}
    ephemeral = volumes = 0
    for device in instance.block_devices:
        if not device.device_name or device.boot_index == 0:
            continue
        if device.destination_type == "volume":
            found[f"ebs{volumes}"] = device.device_name
            volumes += 1
        elif device.guest_format == "swap":
            found["swap"] = device.device_name
        elif device.source_type == "blank":
            found[f"ephemeral{ephemeral}"] = device.device_name
            ephemeral += 1
    return found

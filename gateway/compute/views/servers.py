"""Servers as the Compute API shows them: a table of fields, and the microversions that have each.

The fields of a microversion are picked once and remembered, so that a server costs one small call a field.
"""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from gateway.compute import host_directory, states
from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.compute.views.links import LinkMaker
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import VM_STATE_BUILDING, Instance

# Where the availability zone that a user asked for stays known once the instance has its host's.
PINNED_ZONE = "pinned_availability_zone"
IMAGE_PREFIX = "image_"

_ABSENT: Any = object()
_HOST_STATUS = "os_compute_api:servers:show:host_status"
_WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
_WITH_FAULT = frozenset({"ERROR", "DELETED"})
_LIST_HINTS = frozenset({"same_host", "different_host", "different_cell"})


class ServerView:
    """Shows servers to one caller at one microversion. `shape` is show, detail or update."""

    __slots__ = ("_fields", "admin", "extra_specs", "flavors", "hosts", "images", "servers", "unknown_only")

    def __init__(self, call: ComputeRequest, shape: str, known_hosts: Mapping[str, Host] | None) -> None:
        self.servers = LinkMaker(call, "servers")
        self.images = LinkMaker(call, "images")
        self.flavors = LinkMaker(call, "flavors")
        self.hosts = known_hosts
        self.unknown_only = not call.allows(_HOST_STATUS)
        self.admin = call.context.is_admin
        self.extra_specs = call.minor >= 47 and call.allows("os_compute_api:servers:show:flavor-extra-specs")
        extended = call.allows("os_compute_api:os-extended-server-attributes")
        self._fields = _fields(call.minor, shape, extended, known_hosts is not None)

    def show(self, instance: Instance) -> dict[str, Any]:
        """One server."""
        shown: dict[str, Any] = {}
        for name, value in self._fields:
            found = value(instance, self)
            if found is not _ABSENT:
                shown[name] = found
        return shown

    def brief(self, instance: Instance) -> dict[str, Any]:
        """One server of GET /servers."""
        return {
            "id": instance.id,
            "name": instance.display_name,
            "links": self.servers.links(instance.id),
        }


def wants_hosts(call: ComputeRequest) -> bool:
    """Whether the answer shows `host_status`, for which the hosts have to be known."""
    return call.minor >= 16 and (call.allows(_HOST_STATUS) or call.allows(_HOST_STATUS + ":unknown-only"))


Value = Callable[[Instance, ServerView], Any]


class Field(NamedTuple):
    """A field of a server: where its value comes from, and which microversions show it to whom."""

    name: str
    value: Value
    first: int = 1
    # First microversion in which PUT /servers/{id} shows it; 75 for what it shows with everything else.
    update: int = 1
    detail: bool = True
    last: int = 1000
    # extended: to whom os-extended-server-attributes allows it; plain: to the others; hosts: to
    # whom host_status is shown; update: in the answer of PUT alone.
    audience: str = "all"


def _status(instance: Instance, _: ServerView) -> str:
    return states.status_of(instance.vm_state, instance.task_state)


def _image(instance: Instance, view: ServerView) -> Any:
    if not instance.image_id:
        return ""
    return {"id": instance.image_id, "links": view.images.bookmark(instance.image_id)}


def _image_with_properties(instance: Instance, view: ServerView) -> Any:
    shown = _image(instance, view)
    if shown:
        cut = len(IMAGE_PREFIX)
        shown["properties"] = {
            key[cut:]: value
            for key, value in instance.system_metadata.items()
            if key.startswith(IMAGE_PREFIX)
        }
    return shown


def _flavor_link(instance: Instance, view: ServerView) -> dict[str, Any]:
    return {"id": instance.flavor.id, "links": view.flavors.bookmark(instance.flavor.id)}


def _flavor(instance: Instance, view: ServerView) -> dict[str, Any]:
    flavor = instance.flavor
    shown: dict[str, Any] = {
        "vcpus": flavor.vcpus,
        "ram": flavor.memory_mb,
        "disk": flavor.root_gb,
        "ephemeral": flavor.ephemeral_gb,
        "swap": flavor.swap_mb,
        "original_name": flavor.name,
    }
    if view.extra_specs:
        shown["extra_specs"] = dict(flavor.extra_specs)
    return shown


def addresses(instance: Instance, *, extended: bool = True) -> dict[str, list[dict[str, Any]]]:
    """The server's addresses by network, fixed ones first."""
    shown: dict[str, list[dict[str, Any]]] = {}
    for interface in instance.interfaces:
        entries = shown.setdefault(interface.network.label, [])
        mac = interface.mac_address if extended else ""
        if interface.address:
            entries.append(_address(4, interface.address, "fixed", mac))
        if interface.address_v6:
            entries.append(_address(6, interface.address_v6, "fixed", mac))
        for floating in interface.floating_addresses:
            entries.append(_address(4, floating, "floating", mac))
    return shown


def _address(version: int, address: str, kind: str, mac: str) -> dict[str, Any]:
    if not mac:
        return {"version": version, "addr": address}
    return {
        "version": version,
        "addr": address,
        "OS-EXT-IPS:type": kind,
        "OS-EXT-IPS-MAC:mac_addr": mac,
    }


def _addresses(instance: Instance, _: ServerView) -> dict[str, list[dict[str, Any]]]:
    # A server that is still being built may lose the address that it has.
    return {} if instance.vm_state == VM_STATE_BUILDING else addresses(instance)


def _plain_addresses(instance: Instance, _: ServerView) -> dict[str, list[dict[str, Any]]]:
    building = instance.vm_state == VM_STATE_BUILDING
    return {} if building else addresses(instance, extended=False)


def name_on_host(instance: Instance) -> str:
    """What the hypervisor calls it, by Nova's instance_name_template."""
    return f"instance-{instance.number:08x}"


@lru_cache(maxsize=4096)
def host_id(project_id: str, host: str) -> str:
    """`hostId`: tells a project which of its servers share a host, without naming it."""
    return hashlib.sha224((project_id + host).encode()).hexdigest() if host else ""


def _fault(instance: Instance, view: ServerView) -> Any:
    if not instance.HasField("fault") or _status(instance, view) not in _WITH_FAULT:
        return _ABSENT
    fault = instance.fault
    shown = {"code": fault.code, "created": times.seconds(fault.created_at), "message": fault.message}
    if fault.details and (view.admin or fault.code != 500):
        shown["details"] = fault.details
    return shown


def _progress(instance: Instance, view: ServerView) -> Any:
    return instance.progress if _status(instance, view) in _WITH_PROGRESS else _ABSENT


def _launched(instance: Instance, _: ServerView) -> str | None:
    return times.microseconds(instance.launched_at) if instance.HasField("launched_at") else None


def _terminated(instance: Instance, _: ServerView) -> str | None:
    return times.microseconds(instance.terminated_at) if instance.HasField("terminated_at") else None


def _updated(instance: Instance, _: ServerView) -> str:
    return times.seconds(instance.updated_at if instance.HasField("updated_at") else instance.created_at)


def _groups(instance: Instance, _: ServerView) -> Any:
    return [{"name": name} for name in instance.security_groups] or _ABSENT


def _volumes(instance: Instance, _: ServerView) -> list[dict[str, Any]]:
    return [{"id": disk.source_id} for disk in instance.block_devices if disk.destination_type == "volume"]


def _volumes_with_end(instance: Instance, _: ServerView) -> list[dict[str, Any]]:
    return [
        {"id": disk.source_id, "delete_on_termination": disk.delete_on_termination}
        for disk in instance.block_devices
        if disk.destination_type == "volume"
    ]


def _user_data(instance: Instance, _: ServerView) -> str | None:
    return b64encode(instance.user_data).decode() if instance.user_data else None


def _host_status(instance: Instance, view: ServerView) -> Any:
    status = ""
    if instance.host and view.hosts is not None:
        status = host_directory.status_of(view.hosts.get(instance.host))
    return _ABSENT if view.unknown_only and status != "UNKNOWN" else status


def _pinned_zone(instance: Instance, _: ServerView) -> str | None:
    return instance.system_metadata.get(PINNED_ZONE) or None


def _hints(instance: Instance, _: ServerView) -> dict[str, Any]:
    return {
        name: value.split(",") if name in _LIST_HINTS else value
        for name, value in instance.scheduler_hints.items()
    }


_STATUS_EXT = "OS-EXT-STS:"
_ATTR = "OS-EXT-SRV-ATTR:"

FIELDS: tuple[Field, ...] = (
    Field("id", lambda i, v: i.id),
    Field("name", lambda i, v: i.display_name),
    Field("status", _status),
    Field("tenant_id", lambda i, v: i.project_id),
    Field("user_id", lambda i, v: i.user_id),
    Field("metadata", lambda i, v: dict(i.metadata)),
    Field("hostId", lambda i, v: host_id(i.project_id, i.host)),
    Field("image", _image, last=97),
    Field("image", _image_with_properties, first=98),
    Field("flavor", _flavor_link, last=46),
    Field("flavor", _flavor, first=47),
    Field("created", lambda i, v: times.seconds(i.created_at)),
    Field("updated", _updated),
    Field("addresses", _addresses, update=75),
    Field("addresses", _plain_addresses, last=74, audience="update"),
    Field("accessIPv4", lambda i, v: i.access_ip_v4),
    Field("accessIPv6", lambda i, v: i.access_ip_v6),
    Field("links", lambda i, v: v.servers.links(i.id)),
    Field("OS-DCF:diskConfig", lambda i, v: "AUTO" if i.auto_disk_config else "MANUAL"),
    Field("fault", _fault),
    Field("progress", _progress),
    Field("OS-EXT-AZ:availability_zone", lambda i, v: i.availability_zone, update=75),
    Field("config_drive", lambda i, v: "True" if i.config_drive else "", update=75),
    Field("key_name", lambda i, v: i.key_name or None, update=75),
    Field("OS-SRV-USG:launched_at", _launched, update=75),
    Field("OS-SRV-USG:terminated_at", _terminated, update=75),
    Field("security_groups", _groups, update=75),
    Field(_ATTR + "host", lambda i, v: i.host or None, update=75, audience="extended"),
    Field(_ATTR + "instance_name", lambda i, v: name_on_host(i), update=75, audience="extended"),
    Field(_ATTR + "hypervisor_hostname", lambda i, v: i.node or None, update=75, audience="extended"),
    Field(_ATTR + "reservation_id", lambda i, v: i.reservation_id, 3, 75, audience="extended"),
    Field(_ATTR + "launch_index", lambda i, v: i.launch_index, 3, 75, audience="extended"),
    Field(_ATTR + "hostname", lambda i, v: i.hostname, 3, 75, audience="extended"),
    Field(_ATTR + "hostname", lambda i, v: i.hostname, 90, audience="plain"),
    Field(_ATTR + "kernel_id", lambda i, v: i.kernel_id, 3, 75, audience="extended"),
    Field(_ATTR + "ramdisk_id", lambda i, v: i.ramdisk_id, 3, 75, audience="extended"),
    Field(_ATTR + "root_device_name", lambda i, v: i.root_device_name or None, 3, 75, audience="extended"),
    Field(_ATTR + "user_data", _user_data, 3, 75, audience="extended"),
    Field(_STATUS_EXT + "task_state", lambda i, v: states.TASK_STATES.get(i.task_state), update=75),
    Field(_STATUS_EXT + "vm_state", lambda i, v: states.VM_STATES.get(i.vm_state), update=75),
    Field(_STATUS_EXT + "power_state", lambda i, v: i.power_state, update=75),
    Field("os-extended-volumes:volumes_attached", _volumes, last=2, update=75),
    Field("os-extended-volumes:volumes_attached", _volumes_with_end, first=3, update=75),
    Field("locked", lambda i, v: i.locked, first=9),
    Field("host_status", _host_status, first=16, update=75, audience="hosts"),
    Field("description", lambda i, v: i.display_description or None, first=19),
    Field("tags", lambda i, v: list(i.tags), first=26),
    Field("trusted_image_certificates", lambda i, v: None, first=63),
    Field("server_groups", lambda i, v: [i.server_group_id] if i.server_group_id else [], 71, detail=False),
    Field("locked_reason", lambda i, v: i.locked_reason or None, first=73),
    Field("pinned_availability_zone", _pinned_zone, first=96),
    Field("scheduler_hints", _hints, first=100),
)


@lru_cache(maxsize=2048)
def _fields(minor: int, shape: str, extended: bool, with_hosts: bool) -> tuple[tuple[str, Value], ...]:
    audiences = {"all", "extended" if extended else "plain"}
    if with_hosts:
        audiences.add("hosts")
    if shape == "update":
        audiences.add("update")
    return tuple(
        (field.name, field.value)
        for field in FIELDS
        if field.first <= minor <= field.last
        and field.audience in audiences
        and (shape != "update" or minor >= field.update)
        and (shape != "detail" or field.detail)
    )

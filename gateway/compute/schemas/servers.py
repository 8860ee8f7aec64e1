"""Requests on servers: bodies of create and update, and the query strings of lists."""

from typing import Any

from gateway.compute import parameters as p
from gateway.schemas import Schema

_HINTS: Schema = {
    "type": "object",
    "properties": {
        "group": p.UUID,
        "different_host": {"anyOf": [p.UUID, {"type": "array", "items": p.UUID}]},
        "same_host": {"anyOf": [p.UUID, {"type": "array", "items": p.UUID}]},
        "query": {"type": ["string", "object"]},
        "target_cell": p.NAME,
        "different_cell": {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
        "build_near_host_ip": p.ADDRESS,
        "cidr": {"type": "string", "pattern": "^/[0-9a-f.:]+$"},
    },
    "additionalProperties": True,
}
PERSONALITY: Schema = {
    "type": "array",
    "items": p.record(
        {"path": {"type": "string"}, "contents": {"type": "string", "format": "base64"}}, ("path", "contents")
    ),
}
DISK_CONFIG: Schema = {"type": "string", "enum": ["AUTO", "MANUAL"]}
USER_DATA: Schema = {"type": "string", "format": "base64", "maxLength": 65535}
CERTIFICATES: Schema = {
    "type": ["array", "null"],
    "minItems": 1,
    "maxItems": 50,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 255},
}
_PORT: Schema = {"anyOf": [p.UUID, {"type": "null"}]}
_TEXT: Schema = {"type": "string", "maxLength": 255}

_LEGACY_DEVICE: dict[str, Schema] = {
    "virtual_name": _TEXT,
    "volume_id": p.UUID,
    "snapshot_id": p.UUID,
    "volume_size": {"type": ["integer", "string", "null"]},
    "device_name": {
        "type": "string",
        "minLength": 1,
        "maxLength": 255,
        "pattern": "^[a-zA-Z0-9._/-]*$",
    },
    "delete_on_termination": p.BOOLEAN,
    "no_device": {},
    "connection_info": {"type": "string", "maxLength": 16777215},
}
_DEVICE: dict[str, Schema] = {
    **_LEGACY_DEVICE,
    "source_type": {"type": "string", "enum": ["volume", "image", "snapshot", "blank"]},
    "uuid": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._-]*$"},
    "image_id": p.UUID,
    "destination_type": {"type": "string", "enum": ["local", "volume"]},
    "guest_format": _TEXT,
    "device_type": _TEXT,
    "disk_bus": _TEXT,
    "boot_index": {"type": ["integer", "string", "null"], "pattern": "^-?[0-9]+$"},
}


def _networks(*, uuid: Schema, tag: bool) -> Schema:
    card: dict[str, Schema] = {"fixed_ip": p.ADDRESS, "port": _PORT, "uuid": uuid}
    if tag:
        card["tag"] = p.TAG
    return {"type": "array", "items": p.record(card)}


def _chosen_networks(*, tag: bool) -> Schema:
    """From 2.37 on: a list, or the word `auto` or `none`."""
    listed = _networks(uuid=p.UUID, tag=tag)
    return {**listed, "type": ["array", "string"], "pattern": "^(auto|none)$"}


def _devices(*, tag: bool = False, volume_type: bool = False) -> Schema:
    device = dict(_DEVICE)
    if tag:
        device["tag"] = p.TAG
    if volume_type:
        device["volume_type"] = {"type": ["string", "null"], "maxLength": 255}
    return {"type": "array", "items": p.record(device)}


_FIRST: dict[str, Any] = {
    "name": p.NAME,
    "imageRef": p.UUID_OR_EMPTY,
    "flavorRef": {"type": ["string", "integer"], "minLength": 1},
    "adminPass": {"type": "string"},
    "metadata": p.METADATA,
    "networks": _networks(uuid={"type": "string"}, tag=False),
    "OS-DCF:diskConfig": DISK_CONFIG,
    "accessIPv4": p.ACCESS_V4,
    "accessIPv6": p.ACCESS_V6,
    "personality": PERSONALITY,
    "availability_zone": p.ZONE,
    "block_device_mapping": {"type": "array", "items": p.record(_LEGACY_DEVICE)},
    "block_device_mapping_v2": _devices(),
    "config_drive": p.BOOLEAN,
    "key_name": p.NAME,
    "min_count": p.POSITIVE,
    "max_count": p.POSITIVE,
    "return_reservation_id": p.BOOLEAN,
    "security_groups": {"type": "array", "items": p.record({"name": p.NAME})},
    "user_data": USER_DATA,
}
# (first minor version, fields that are new or different, fields that go)
_CREATE_CHANGES: tuple[tuple[int, dict[str, Any], tuple[str, ...]], ...] = (
    (1, _FIRST, ()),
    (19, {"description": p.DESCRIPTION}, ()),
    (
        32,
        {
            "networks": _networks(uuid={"type": "string"}, tag=True),
            "block_device_mapping_v2": _devices(tag=True),
        },
        (),
    ),
    (33, {"block_device_mapping_v2": _devices()}, ()),
    (37, {"networks": _chosen_networks(tag=False)}, ()),
    (42, {"networks": _chosen_networks(tag=True), "block_device_mapping_v2": _devices(tag=True)}, ()),
    (52, {"tags": {"type": "array", "items": p.TAG, "maxItems": 50}}, ()),
    (57, {}, ("personality",)),
    (
        63,
        {
            "trusted_image_certificates": CERTIFICATES,
        },
        (),
    ),
    (67, {"block_device_mapping_v2": _devices(tag=True, volume_type=True)}, ()),
    (74, {"host": p.HOST, "hypervisor_hostname": p.HOST}, ()),
    (90, {"hostname": p.HOSTNAME}, ()),
    (94, {"hostname": p.FULL_HOSTNAME}, ()),
)


def _create_rows() -> tuple[tuple[int, Schema], ...]:
    rows = []
    fields: dict[str, Any] = {}
    for first, changed, gone in _CREATE_CHANGES:
        fields = {name: schema for name, schema in {**fields, **changed}.items() if name not in gone}
        required = ("name", "flavorRef", "networks") if first >= 37 else ("name", "flavorRef")
        body = p.record(
            {
                "server": p.record(fields, required),
                "os:scheduler_hints": _HINTS,
                "OS-SCH-HNT:scheduler_hints": _HINTS,
            },
            ("server",),
        )
        rows.append((first, body))
    return tuple(rows)


CREATE = _create_rows()

_UPDATE_FIRST: dict[str, Any] = {
    "name": p.NAME,
    "OS-DCF:diskConfig": DISK_CONFIG,
    "accessIPv4": p.ACCESS_V4,
    "accessIPv6": p.ACCESS_V6,
}
_UPDATE_19 = {**_UPDATE_FIRST, "description": p.DESCRIPTION}
_UPDATE_94 = {**_UPDATE_19, "hostname": p.FULL_HOSTNAME}
UPDATE = (
    (1, p.wrapped("server", p.record(_UPDATE_FIRST))),
    (19, p.wrapped("server", p.record(_UPDATE_19))),
    (90, p.wrapped("server", p.record({**_UPDATE_19, "hostname": p.HOSTNAME}))),
    (94, p.wrapped("server", p.record(_UPDATE_94))),
    (
        104,
        p.wrapped(
            "server",
            p.record({**_UPDATE_94, "pinned_availability_zone": {**p.ZONE_NAME, "type": ["string", "null"]}}),
        ),
    ),
)

# fmt: off
# What a list can be sorted by: the API's word and the field of Instance.
SORT_FIELDS = {
    "access_ip_v4": "access_ip_v4", "access_ip_v6": "access_ip_v6", "auto_disk_config": "auto_disk_config",
    "availability_zone": "availability_zone", "config_drive": "config_drive", "created_at": "created_at",
    "display_description": "display_description", "display_name": "display_name", "host": "host",
    "hostname": "hostname", "image_ref": "image_id", "instance_type_id": "flavor_id",
    "kernel_id": "kernel_id", "key_name": "key_name", "launch_index": "launch_index",
    "launched_at": "launched_at", "locked_by": "locked_by", "node": "node",
    "power_state": "power_state", "progress": "progress", "project_id": "project_id",
    "ramdisk_id": "ramdisk_id", "root_device_name": "root_device_name", "task_state": "task_state",
    "terminated_at": "terminated_at", "updated_at": "updated_at", "user_id": "user_id", "uuid": "id",
    "vm_state": "vm_state",
}
# Accepted and without effect, up to 2.74.
IGNORED_SORT_KEYS = (
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
    "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on",
    "locked", "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus",
    "vm_mode",
)
_PLAIN = ("user_id", "project_id", "tenant_id", "launch_index", "image_ref", "image", "vm_state",
          "task_state", "host", "uuid", "sort_dir", "all_tenants", "soft_deleted", "deleted", "status")
_PATTERNS = (
    "kernel_id", "ramdisk_id", "hostname", "key_name", "power_state", "node", "flavor",
    "reservation_id", "launched_at", "terminated_at", "availability_zone", "name", "display_name",
    "description", "display_description", "locked_by", "root_device_name", "config_drive",
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "progress", "ip", "ip6", "created_at",
)
# Asking for these would mean asking for another table.
REFUSED_FILTERS = ("block_device_mapping", "services", "metadata", "system_metadata", "info_cache",
                   "security_groups", "pci_devices")
TAG_FILTERS = ("tags", "tags-any", "not-tags", "not-tags-any")
# fmt: on

_TIME = p.values({"type": "string", "format": "date-time"})


def _sorts(extra: tuple[str, ...]) -> Schema:
    return p.values({"type": "string", "enum": [*SORT_FIELDS, *extra]})


_LIST: dict[str, Schema] = {
    **dict.fromkeys((*_PLAIN, *REFUSED_FILTERS), p.ANY_TEXT),
    **dict.fromkeys(_PATTERNS, p.REGEX),
    **p.PAGING,
    "sort_key": _sorts(IGNORED_SORT_KEYS),
    "changes-since": _TIME,
}
_LIST_26 = {**_LIST, **dict.fromkeys(TAG_FILTERS, p.ANY_TEXT)}
_LIST_66 = {**_LIST_26, "changes-before": _TIME}
_LIST_73 = {**_LIST_66, "locked": p.ANY_TEXT}
_LIST_75 = {**_LIST_73, "sort_key": _sorts(("locked",))}
LIST = (
    (1, p.query(_LIST)),
    (26, p.query(_LIST_26)),
    (66, p.query(_LIST_66)),
    (73, p.query(_LIST_73)),
    (75, p.query(_LIST_75, strict=True)),
)

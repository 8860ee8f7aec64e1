"""The things of the Compute API's answers at its first and its last microversion, as JSON Schema.

Every object is closed and every field of it required, but for those that are named as optional: a field that
appears, disappears or changes its type fails.
"""

from typing import Any

from gateway.compute.history import MAXIMUM

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
NUMBER: Schema = {"type": "integer"}
MAYBE_NUMBER: Schema = {"type": ["integer", "null"]}
TRUTH: Schema = {"type": "boolean"}
NOTHING: Schema = {"type": "null"}
UUID: Schema = {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"}
TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
FINE_TIME: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$"}
MAYBE_FINE_TIME: Schema = {"anyOf": [FINE_TIME, NOTHING]}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}


def record(optional: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """An object with these fields and no others; media_types is `media-types`."""
    return closed({name.replace("media_types", "media-types"): fields[name] for name in fields}, optional)


def closed(fields: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object with these fields and no others."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "properties": fields, "required": required, "additionalProperties": False}


def several(schema: Schema) -> Schema:
    """At least one of these."""
    return {"type": "array", "items": schema, "minItems": 1}


def any_number(schema: Schema) -> Schema:
    """None or more of these."""
    return {"type": "array", "items": schema}


def links(*kinds: str) -> Schema:
    """Links of these kinds, in this order."""
    href = {"type": "string", "pattern": "^http"}
    each = [record(rel={"const": kind}, href=href) for kind in kinds]
    return {"type": "array", "items": each, "minItems": len(each), "additionalItems": False}


LINKS = links("self", "bookmark")
BOOKMARK = links("bookmark")

# Servers.
ADDRESS = closed(
    {
        "version": {"enum": [4, 6]},
        "addr": TEXT,
        "OS-EXT-IPS:type": {"enum": ["fixed", "floating"]},
        "OS-EXT-IPS-MAC:mac_addr": {"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"},
    }
)
ADDRESSES: Schema = {"type": "object", "additionalProperties": several(ADDRESS)}
PLAIN_ADDRESSES: Schema = {
    "type": "object",
    "additionalProperties": several(record(version={"enum": [4, 6]}, addr=TEXT)),
}
SERVER_1: dict[str, Schema] = {
    "id": UUID,
    "name": TEXT,
    "status": {"const": "ACTIVE"},
    "tenant_id": TEXT,
    "user_id": TEXT,
    "metadata": TEXTS,
    "hostId": {"type": "string", "pattern": "^[0-9a-f]{56}$"},
    "image": record(id=UUID, links=BOOKMARK),
    "flavor": record(id=TEXT, links=BOOKMARK),
    "created": TIME,
    "updated": TIME,
    "addresses": ADDRESSES,
    "accessIPv4": TEXT,
    "accessIPv6": TEXT,
    "links": LINKS,
    "OS-DCF:diskConfig": {"enum": ["AUTO", "MANUAL"]},
    "progress": NUMBER,
    "OS-EXT-AZ:availability_zone": TEXT,
    "config_drive": {"enum": ["", "True"]},
    "key_name": MAYBE_TEXT,
    "OS-SRV-USG:launched_at": FINE_TIME,
    "OS-SRV-USG:terminated_at": NOTHING,
    "security_groups": several(record(name=TEXT)),
    "OS-EXT-STS:task_state": MAYBE_TEXT,
    "OS-EXT-STS:vm_state": TEXT,
    "OS-EXT-STS:power_state": NUMBER,
    "os-extended-volumes:volumes_attached": any_number(record(id=UUID)),
}
_LATER: dict[str, Schema] = {
    "image": record(id=UUID, links=BOOKMARK, properties=TEXTS),
    "flavor": record(
        vcpus=NUMBER,
        ram=NUMBER,
        disk=NUMBER,
        ephemeral=NUMBER,
        swap=NUMBER,
        original_name=TEXT,
        extra_specs=TEXTS,
    ),
    "os-extended-volumes:volumes_attached": any_number(record(id=UUID, delete_on_termination=TRUTH)),
    "locked": TRUTH,
    "description": MAYBE_TEXT,
    "tags": any_number(TEXT),
    "trusted_image_certificates": NOTHING,
    "locked_reason": MAYBE_TEXT,
    "OS-EXT-SRV-ATTR:hostname": TEXT,
    "pinned_availability_zone": MAYBE_TEXT,
    "scheduler_hints": {"type": "object"},
}
SERVER_DETAIL: dict[str, Schema] = {**SERVER_1, **_LATER}
SERVER: dict[str, Schema] = {**SERVER_DETAIL, "server_groups": any_number(UUID)}
FOR_ADMINS_1: dict[str, Schema] = {
    "OS-EXT-SRV-ATTR:host": TEXT,
    "OS-EXT-SRV-ATTR:instance_name": {"type": "string", "pattern": "^instance-[0-9a-f]{8}$"},
    "OS-EXT-SRV-ATTR:hypervisor_hostname": TEXT,
}
FOR_ADMINS: dict[str, Schema] = {
    **FOR_ADMINS_1,
    "OS-EXT-SRV-ATTR:reservation_id": {"type": "string", "pattern": "^r-[0-9a-z]{8}$"},
    "OS-EXT-SRV-ATTR:launch_index": NUMBER,
    "OS-EXT-SRV-ATTR:kernel_id": TEXT,
    "OS-EXT-SRV-ATTR:ramdisk_id": TEXT,
    "OS-EXT-SRV-ATTR:root_device_name": MAYBE_TEXT,
    "OS-EXT-SRV-ATTR:user_data": MAYBE_TEXT,
    "host_status": {"enum": ["UP", "DOWN", "MAINTENANCE", "UNKNOWN", ""]},
}
BRIEF_SERVER = record(id=UUID, name=TEXT, links=LINKS)

# Flavors.
FLAVOR_1: dict[str, Schema] = {
    "id": TEXT,
    "name": TEXT,
    "ram": NUMBER,
    "disk": NUMBER,
    "vcpus": NUMBER,
    "swap": {"enum": ["", *range(1, 10)]},
    "OS-FLV-EXT-DATA:ephemeral": NUMBER,
    "OS-FLV-DISABLED:disabled": TRUTH,
    "os-flavor-access:is_public": TRUTH,
    "rxtx_factor": {"type": "number"},
    "links": LINKS,
}
FLAVOR: dict[str, Schema] = {
    **{
        name: schema
        for name, schema in FLAVOR_1.items()
        if name not in ("rxtx_factor", "OS-FLV-DISABLED:disabled")
    },
    "swap": NUMBER,
    "description": MAYBE_TEXT,
    "extra_specs": TEXTS,
}

# Key pairs.
KEYPAIR_1: dict[str, Schema] = {"name": TEXT, "fingerprint": TEXT, "public_key": TEXT}
KEYPAIR: dict[str, Schema] = {**KEYPAIR_1, "type": {"enum": ["ssh", "x509"]}}
SHOWN_KEYPAIR: dict[str, Schema] = {
    "user_id": TEXT,
    "deleted": TRUTH,
    "created_at": FINE_TIME,
    "updated_at": MAYBE_FINE_TIME,
    "deleted_at": NOTHING,
    "id": NUMBER,
}

# Limits and quotas.
LIMITS = (
    "maxTotalInstances",
    "maxTotalCores",
    "maxTotalRAMSize",
    "maxServerMeta",
    "maxTotalKeypairs",
    "maxServerGroups",
    "maxServerGroupMembers",
    "totalInstancesUsed",
    "totalCoresUsed",
    "totalRAMUsed",
    "totalServerGroupsUsed",
)
LIMITS_1 = (
    *LIMITS,
    "maxImageMeta",
    "maxPersonality",
    "maxPersonalitySize",
    "maxTotalFloatingIps",
    "maxSecurityGroups",
    "maxSecurityGroupRules",
    "totalFloatingIpsUsed",
    "totalSecurityGroupsUsed",
)
QUOTAS = (
    "instances",
    "cores",
    "ram",
    "metadata_items",
    "key_pairs",
    "server_groups",
    "server_group_members",
)
QUOTAS_1 = (
    *QUOTAS,
    "injected_files",
    "injected_file_content_bytes",
    "injected_file_path_bytes",
    "floating_ips",
    "fixed_ips",
    "security_groups",
    "security_group_rules",
)
NOT_IN_CLASSES = ("server_groups", "server_group_members")


def numbers(names: tuple[str, ...], **more: Schema) -> Schema:
    """An object of whole numbers, and some other fields."""
    return closed({**dict.fromkeys(names, NUMBER), **more})


def limits(names: tuple[str, ...]) -> Schema:
    """GET /limits."""
    return record(limits=record(rate={"type": "array", "maxItems": 0}, absolute=numbers(names)))


# What administrators see.
SERVICE_1: dict[str, Schema] = {
    "id": NUMBER,
    "binary": {"type": "string", "pattern": "^nova-"},
    "host": TEXT,
    "zone": TEXT,
    "status": {"enum": ["enabled", "disabled"]},
    "state": {"enum": ["up", "down"]},
    "updated_at": MAYBE_FINE_TIME,
    "disabled_reason": MAYBE_TEXT,
}
HYPERVISOR_1: dict[str, Schema] = {
    "id": NUMBER,
    "hypervisor_hostname": TEXT,
    "state": {"enum": ["up", "down"]},
    "status": {"enum": ["enabled", "disabled"]},
}
HYPERVISOR_MORE: dict[str, Schema] = {
    "host_ip": TEXT,
    "hypervisor_type": TEXT,
    "hypervisor_version": NUMBER,
}
HYPERVISOR_SUMS = (
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "free_ram_mb",
    "local_gb",
    "local_gb_used",
    "free_disk_gb",
    "current_workload",
    "running_vms",
)
AGGREGATE_1: dict[str, Schema] = {
    "id": NUMBER,
    "name": TEXT,
    "availability_zone": MAYBE_TEXT,
    "hosts": any_number(TEXT),
    "metadata": TEXTS,
    "created_at": FINE_TIME,
    "updated_at": MAYBE_FINE_TIME,
    "deleted": TRUTH,
    "deleted_at": NOTHING,
}
GROUP_1: dict[str, Schema] = {
    "id": UUID,
    "name": TEXT,
    "policies": several(TEXT),
    "members": any_number(UUID),
    "metadata": TEXTS,
}
GROUP: dict[str, Schema] = {
    "id": UUID,
    "name": TEXT,
    "policy": TEXT,
    "rules": {"type": "object"},
    "members": any_number(UUID),
    "project_id": TEXT,
    "user_id": TEXT,
}
ACTION_1: dict[str, Schema] = {
    "action": TEXT,
    "instance_uuid": UUID,
    "request_id": {"type": "string", "pattern": "^req-"},
    "user_id": TEXT,
    "project_id": TEXT,
    "start_time": FINE_TIME,
    "message": MAYBE_TEXT,
}
ACTION: dict[str, Schema] = {**ACTION_1, "updated_at": FINE_TIME}
EVENT: dict[str, Schema] = {
    "event": TEXT,
    "start_time": FINE_TIME,
    "finish_time": MAYBE_FINE_TIME,
    "result": MAYBE_TEXT,
    "hostId": TEXT,
}
EXTENSION = record(
    alias=TEXT, description=TEXT, links={"type": "array"}, name=TEXT, namespace=TEXT, updated=TIME
)
USAGE: dict[str, Schema] = {
    "tenant_id": TEXT,
    "start": FINE_TIME,
    "stop": FINE_TIME,
    "total_hours": {"type": "number"},
    "total_vcpus_usage": {"type": "number"},
    "total_memory_mb_usage": {"type": "number"},
    "total_local_gb_usage": {"type": "number"},
}
NETWORK_1: dict[str, Schema] = {
    "id": UUID,
    "label": TEXT,
    **dict.fromkeys(
        (
            "cidr",
            "netmask",
            "gateway",
            "broadcast",
            "dns1",
            "dns2",
            "cidr_v6",
            "gateway_v6",
            "netmask_v6",
        ),
        MAYBE_TEXT,
    ),
}
IMAGE_1: dict[str, Schema] = {
    "id": UUID,
    "name": TEXT,
    "links": {"type": "array", "minItems": 3},
    "minRam": NUMBER,
    "minDisk": NUMBER,
    "metadata": TEXTS,
    "created": TIME,
    "updated": TIME,
    "status": TEXT,
    "progress": NUMBER,
    "OS-EXT-IMG-SIZE:size": NUMBER,
}
VERSION = record(
    id={"const": "v2.1"},
    status={"const": "CURRENT"},
    version={"const": f"2.{MAXIMUM}"},
    min_version={"const": "2.1"},
    updated=TIME,
    links=several({"type": "object"}),
    media_types=several(record(base=TEXT, type=TEXT)),
)

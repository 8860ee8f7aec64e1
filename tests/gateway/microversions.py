"""What each microversion changed, as requests: some are answered otherwise from it on, others show a field.

Paths name what the test has made: {server}, {group}, {aggregate} ... and {nobody}, which is no id.
"""

from typing import Any, NamedTuple

ABSENT = "Flavor absent could not be found"
# A body that every schema takes and that goes no further than the flavor.
SERVER: dict[str, Any] = {
    "name": "x",
    "imageRef": "70a599e0-31e7-49b7-b260-868f441e862b",
    "flavorRef": "absent",
    "networks": [{"uuid": "20c8acc0-f747-4d71-a389-46d078ebf047"}],
}
UUID = "11111111-1111-4111-8111-111111111111"


class Answered(NamedTuple):
    """A request that a microversion answers with another status or for another reason."""

    minor: int
    method: str
    path: str
    before: int
    after: int
    body: Any = None
    before_says: str = ""
    after_says: str = ""
    token: str = "admin"


class Shown(NamedTuple):
    """A field that a microversion shows, or shows no more."""

    minor: int
    path: str
    field: tuple[str | int, ...]
    gone: bool = False
    token: str = "demo"


def created(minor: int, given: dict[str, Any], before_says: str, after_says: str = ABSENT) -> Answered:
    """A create with a field that is known from a microversion on, or up to it."""
    return Answered(
        minor, "POST", "/servers", 400, 400, {"server": {**SERVER, **given}}, before_says, after_says
    )


def acted(
    minor: int, action: str, given: Any, before: int = 400, after: int = 404, says: str = ""
) -> Answered:
    """An action on no server: 404 where its body is understood."""
    return Answered(minor, "POST", "/servers/{nobody}/action", before, after, {action: given}, says)


def told(minor: int, event: str) -> Answered:
    """An event from outside: 404 where its name is known."""
    body = {"events": [{"name": event, "server_uuid": UUID, "tag": "x"}]}
    return Answered(minor, "POST", "/os-server-external-events", 400, 404, body, event)


def _tagged(name: str, value: Any) -> dict[str, Any]:
    return {name: [{**value, "tag": "a"}]}


_CARD = {"uuid": UUID}
_DISK = {
    "uuid": SERVER["imageRef"],
    "source_type": "image",
    "destination_type": "local",
    "boot_index": 0,
}
_TYPED = {"block_device_mapping_v2": [{**_DISK, "volume_type": "fast"}]}
_CONSOLE = {"remote_console": {"protocol": "mks", "type": "webmks"}}
_DIRECT = {"remote_console": {"protocol": "spice", "type": "spice-direct"}}
_NEW_KEY: dict[str, Any] = {"keypair": {"name": "made"}}

ANSWERED: tuple[Answered, ...] = (
    Answered(6, "POST", "/servers/{server}/remote-consoles", 404, 400,
             {"remote_console": {"protocol": "vnc", "type": "novnc"}}, "", "Unavailable console type"),
    Answered(6, "POST", "/servers/{server}/action", 400, 404, {"os-getVNCConsole": {"type": "novnc"}}),
    Answered(7, "POST", "/flavors/1/action", 200, 409, {"addTenantAccess": {"tenant": "some"}}),
    Answered(8, "POST", "/servers/{server}/remote-consoles", 400, 400, _CONSOLE, "Invalid input",
             "Unavailable console type webmks"),
    Answered(10, "POST", "/os-keypairs", 400, 201, {"keypair": {"name": "theirs", "user_id": "u-demo"}},
             "user_id"),
    Answered(11, "PUT", "/os-services/force-down", 404, 200,
             {"host": "host1", "binary": "nova-compute", "forced_down": False}),
    acted(14, "evacuate", {"host": "host1"}, says="onSharedStorage"),
    Answered(15, "POST", "/os-server-groups", 400, 200,
             {"server_group": {"name": "soft", "policies": ["soft-affinity"]}}),
    acted(17, "trigger_crash_dump", None, before=404),
    Answered(22, "POST", "/servers/{nobody}/migrations/1/action", 404, 404, {"force_complete": None},
             "is not supported", "found"),
    Answered(23, "GET", "/servers/{server}/migrations", 404, 200),
    Answered(24, "DELETE", "/servers/{server}/migrations/1", 404, 409, None, "is not supported"),
    acted(25, "os-migrateLive", {"host": None, "block_migration": "auto"}),
    Answered(26, "GET", "/servers/{server}/tags", 404, 200),
    acted(29, "evacuate", {"host": "host1", "force": True}, says="force"),
    acted(30, "os-migrateLive", {"host": "host1", "block_migration": "auto", "force": True}, says="force"),
    created(32, _tagged("networks", _CARD), "tag"),
    created(32, _tagged("block_device_mapping_v2", _DISK), "tag"),
    created(33, _tagged("block_device_mapping_v2", _DISK), ABSENT, "tag"),
    Answered(33, "GET", "/os-hypervisors?marker=999", 200, 400),
    Answered(36, "GET", "/images", 200, 404),
    Answered(36, "GET", "/os-networks", 200, 404),
    Answered(36, "GET", "/os-tenant-networks", 200, 404),
    Answered(36, "GET", "/os-floating-ips", 501, 404),
    Answered(36, "GET", "/os-volumes", 501, 404),
    Answered(36, "GET", "/os-baremetal-nodes", 501, 404),
    created(37, {"networks": "auto"}, "networks"),
    Answered(38, "GET", "/servers?status=nonsense", 200, 400, None, "", "Invalid status value"),
    Answered(39, "GET", "/images/{image}/metadata", 200, 404),
    created(42, _tagged("block_device_mapping_v2", _DISK), "tag"),
    Answered(43, "GET", "/os-hosts", 200, 404),
    Answered(44, "GET", "/servers/{server}/os-virtual-interfaces", 200, 404),
    acted(44, "addFixedIp", {"networkId": UUID}, before=501, after=404),
    acted(44, "addFloatingIp", {"address": "192.0.2.1"}, before=501, after=404),
    created(52, {"tags": ["a"]}, "tags"),
    Answered(53, "GET", "/os-hypervisors/{hypervisor}/search", 200, 404),
    acted(54, "rebuild", {"imageRef": UUID, "key_name": "k"}, says="key_name"),
    Answered(55, "PUT", "/flavors/1", 404, 200, {"flavor": {"description": "small"}}),
    acted(56, "migrate", {"other": 1}, before=404, after=400),
    created(57, {"personality": []}, ABSENT, "personality"),
    acted(57, "rebuild", {"imageRef": UUID, "user_data": "aGk="}, says="user_data"),
    acted(57, "rebuild", {"imageRef": UUID, "personality": []}, before=404, after=400),
    Answered(58, "GET", "/servers/{server}/os-instance-actions?marker=none", 200, 400),
    Answered(59, "GET", "/os-migrations?marker={nobody}", 200, 400),
    created(63, {"trusted_image_certificates": ["a"]}, "trusted_image_certificates", "does not verify"),
    acted(63, "rebuild", {"imageRef": UUID, "trusted_image_certificates": None},
          says="trusted_image_certificates"),
    Answered(64, "POST", "/os-server-groups", 400, 200,
             {"server_group": {"name": "one", "policy": "affinity"}}),
    Answered(66, "GET", "/servers?changes-since=2001-01-01T00:00:00Z&changes-before=2000-01-01T00:00:00Z",
             200, 400, token="demo"),
    created(67, _TYPED, "volume_type"),
    acted(68, "evacuate", {"host": "host1", "force": True}, before=404, after=400, says=""),
    acted(68, "os-migrateLive", {"host": "host1", "block_migration": "auto", "force": True}, before=404,
          after=400),
    acted(73, "lock", {"other": 1}, before=404, after=400),
    Answered(73, "GET", "/servers?locked=nonsense", 200, 400, token="demo"),
    created(74, {"host": "host1"}, "host"),
    created(74, {"hypervisor_hostname": "host1"}, "hypervisor_hostname"),
    Answered(75, "GET", "/servers?nonsense=1", 200, 400),
    Answered(75, "GET", "/os-services?nonsense=1", 200, 400),
    told(51, "volume-extended"),
    told(76, "power-update"),
    acted(77, "unshelve", {"other": 1}, before=404, after=400),
    Answered(78, "GET", "/servers/{server}/topology", 404, 200),
    Answered(80, "GET", "/os-migrations?user_id=u-demo&project_id=demo", 400, 200),
    Answered(81, "POST", "/os-aggregates/{aggregate}/images", 404, 400, {"cache": [{"id": UUID}]},
             "is not supported"),
    told(82, "accelerator-request-bound"),
    Answered(86, "POST", "/flavors/2/os-extra_specs", 200, 400, {"extra_specs": {"hw:cpu_policy": "odd"}}),
    Answered(88, "GET", "/os-hypervisors/statistics", 200, 404),
    Answered(88, "GET", "/os-hypervisors/{host}/uptime", 200, 404),
    created(90, {"hostname": "short"}, "hostname"),
    Answered(90, "PUT", "/servers/{server}", 400, 200, {"server": {"hostname": "short"}}, "hostname"),
    acted(90, "rebuild", {"imageRef": UUID, "hostname": "short"}, says="hostname"),
    acted(91, "unshelve", {"host": "host1"}, before=400, after=404),
    Answered(92, "POST", "/os-keypairs", 201, 400, _NEW_KEY, "", "public_key", "demo"),
    told(93, "volume-reimaged"),
    created(94, {"hostname": "short.example.org"}, "hostname"),
    Answered(97, "GET", "/servers/{server}/shares", 404, 200),
    Answered(99, "POST", "/servers/{server}/remote-consoles", 400, 400, _DIRECT, "Invalid input",
             "Unavailable console type spice-direct"),
    Answered(102, "GET", "/servers/{server}?nonsense=1", 200, 400),
    Answered(103, "GET", "/os-volumes_boot", 200, 404),
    Answered(104, "PUT", "/servers/{server}", 400, 200, {"server": {"pinned_availability_zone": "nova"}},
             "pinned_availability_zone"),
)  # fmt: skip

_SERVER = "/servers/{server}"
_HYPERVISOR = "/os-hypervisors/{host}"
_ACTION = "/servers/{server}/os-instance-actions/{request}"
_ATTRIBUTE = "OS-EXT-SRV-ATTR:"

SHOWN: tuple[Shown, ...] = (
    *(
        Shown(3, _SERVER, ("server", _ATTRIBUTE + name), token="admin")
        for name in (
            "hostname",
            "kernel_id",
            "launch_index",
            "ramdisk_id",
            "reservation_id",
            "root_device_name",
            "user_data",
        )
    ),
    Shown(9, _SERVER, ("server", "locked")),
    Shown(11, "/os-services", ("services", 0, "forced_down"), token="admin"),
    Shown(12, "/servers/{server}/os-virtual-interfaces", ("virtual_interfaces", 0, "net_id")),
    Shown(13, "/os-server-groups/{group}", ("server_group", "project_id")),
    Shown(13, "/os-server-groups/{group}", ("server_group", "user_id")),
    Shown(16, _SERVER, ("server", "host_status"), token="admin"),
    Shown(19, _SERVER, ("server", "description")),
    Shown(26, _SERVER, ("server", "tags")),
    Shown(35, "/os-keypairs?limit=1", ("keypairs_links",)),
    Shown(36, "/limits", ("limits", "absolute", "maxTotalFloatingIps"), gone=True),
    Shown(36, "/limits", ("limits", "absolute", "maxSecurityGroups"), gone=True),
    Shown(36, "/os-quota-sets/demo", ("quota_set", "fixed_ips"), gone=True),
    Shown(39, "/limits", ("limits", "absolute", "maxImageMeta"), gone=True),
    Shown(40, "/os-simple-tenant-usage?limit=1", ("tenant_usages_links",), token="admin"),
    Shown(41, "/os-aggregates/{aggregate}", ("aggregate", "uuid"), token="admin"),
    Shown(47, _SERVER, ("server", "flavor", "original_name")),
    Shown(47, _SERVER, ("server", "flavor", "id"), gone=True),
    Shown(48, "/servers/{server}/diagnostics", ("num_cpus",), token="admin"),
    Shown(50, "/os-quota-class-sets/default", ("quota_class_set", "server_groups"), token="admin"),
    Shown(50, "/os-quota-class-sets/default", ("quota_class_set", "server_group_members"), token="admin"),
    Shown(50, "/os-quota-class-sets/default", ("quota_class_set", "floating_ips"), gone=True, token="admin"),
    Shown(51, _ACTION, ("instanceAction", "events")),
    Shown(55, "/flavors/1", ("flavor", "description")),
    Shown(57, "/limits", ("limits", "absolute", "maxPersonality"), gone=True),
    Shown(57, "/os-quota-sets/demo", ("quota_set", "injected_files"), gone=True),
    Shown(57, "/os-quota-class-sets/default", ("quota_class_set", "injected_files"), True, "admin"),
    Shown(58, _ACTION, ("instanceAction", "updated_at")),
    Shown(61, "/flavors/1", ("flavor", "extra_specs")),
    Shown(62, _ACTION, ("instanceAction", "events", 0, "hostId")),
    Shown(62, _ACTION, ("instanceAction", "events", 0, "host"), token="admin"),
    Shown(63, _SERVER, ("server", "trusted_image_certificates")),
    Shown(64, "/os-server-groups/{group}", ("server_group", "policy")),
    Shown(64, "/os-server-groups/{group}", ("server_group", "rules")),
    Shown(64, "/os-server-groups/{group}", ("server_group", "policies"), gone=True),
    Shown(64, "/os-server-groups/{group}", ("server_group", "metadata"), gone=True),
    Shown(70, "/servers/{server}/os-interface", ("interfaceAttachments", 0, "tag")),
    Shown(71, _SERVER, ("server", "server_groups")),
    Shown(73, _SERVER, ("server", "locked_reason")),
    Shown(84, _ACTION, ("instanceAction", "events", 0, "details"), token="admin"),
    Shown(88, _HYPERVISOR, ("hypervisor", "uptime"), token="admin"),
    *(
        Shown(88, _HYPERVISOR, ("hypervisor", name), gone=True, token="admin")
        for name in (
            "cpu_info",
            "current_workload",
            "disk_available_least",
            "free_disk_gb",
            "free_ram_mb",
            "local_gb",
            "local_gb_used",
            "memory_mb",
            "memory_mb_used",
            "running_vms",
            "vcpus",
            "vcpus_used",
        )
    ),
    Shown(90, _SERVER, ("server", _ATTRIBUTE + "hostname")),
    Shown(96, _SERVER, ("server", "pinned_availability_zone")),
    Shown(98, _SERVER, ("server", "image", "properties")),
    Shown(100, _SERVER, ("server", "scheduler_hints")),
    Shown(102, "/flavors/1", ("flavor", "rxtx_factor"), gone=True),
    Shown(102, "/flavors/1", ("flavor", "OS-FLV-DISABLED:disabled"), gone=True),
)


class Alike(NamedTuple):
    """A request of a microversion whose feature this cloud lacks: answered alike before it and from it on."""

    minor: int
    method: str
    path: str
    status: int
    body: Any = None


_ATTACHMENTS = "/servers/{server}/os-volume_attachments"
_ATTACHMENT = {"volumeAttachment": {"volumeId": UUID}}
_PORT = {"server": {**SERVER, "flavorRef": "1", "networks": [{"port": UUID}]}}

ALIKE: tuple[Alike, ...] = (
    # reserved in fixed addresses
    Alike(4, "GET", "/os-fixed-ips/10.1.0.2", 501),
    # volumes of shelved servers
    Alike(20, "POST", _ATTACHMENTS, 501, _ATTACHMENT),
    # console tokens of all kinds
    Alike(31, "GET", "/os-console-auth-tokens/abc", 404),
    # tags of attached devices
    Alike(49, "POST", "/servers/{server}/os-interface", 501, {"interfaceAttachment": {"net_id": UUID}}),
    # volumes attached to several servers
    Alike(60, "POST", _ATTACHMENTS, 501, _ATTACHMENT),
    # partial answers: there is one database, and it is there or not
    Alike(69, "GET", "/servers/detail", 200),
    Alike(69, "GET", "/servers/{server}", 200),
    Alike(69, "GET", "/os-services", 200),
    # ports with resource requests
    Alike(72, "POST", "/servers", 400, _PORT),
    # delete_on_termination of an attachment
    Alike(79, "GET", _ATTACHMENTS, 200),
    # update of an attachment
    Alike(85, "PUT", _ATTACHMENTS + "/{nobody}", 501, _ATTACHMENT),
    # rescue of volume-backed servers
    Alike(87, "POST", "/servers/{nobody}/action", 404, {"rescue": None}),
    # attachment_id and bdm_uuid in attachments
    Alike(89, "GET", _ATTACHMENTS + "/{nobody}", 404),
    # attaching a volume answers 202
    Alike(101, "POST", _ATTACHMENTS, 501, _ATTACHMENT),
)

"""From the query string of GET /servers to the question that the conductor answers."""

from collections.abc import Callable
from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.compute import changes, states
from gateway.compute.backends import ComputeRequest
from gateway.compute.parameters import parse_bool
from gateway.compute.schemas import servers as schema
from gateway.compute.views import times
from gateway.compute.views.links import page_limit
from gateway.faults import HttpError
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest, SortKey
from novamesh.types.v1.instance_pb2 import LockOwner, PowerState

# Filters that users may use, and from which microversion on; administrators may use all.
_FOR_USERS = {
    **dict.fromkeys(
        ("reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants"), 1
    ),
    "ip6": 5,
    **dict.fromkeys(schema.TAG_FILTERS, 26),
    "changes-before": 66,
    "locked": 73,
    **dict.fromkeys(
        (
            "availability_zone",
            "config_drive",
            "key_name",
            "created_at",
            "launched_at",
            "terminated_at",
            "power_state",
            "task_state",
            "vm_state",
            "progress",
            "user_id",
        ),
        83,
    ),
    "hostname": 90,
}
# Text that a list is matched with, by regular expression as names are.
_PATTERNS = (
    "node",
    "reservation_id",
    "availability_zone",
    "key_name",
    "kernel_id",
    "ramdisk_id",
    "root_device_name",
    "access_ip_v4",
    "access_ip_v6",
)
_LOCK_OWNERS = {"owner": LockOwner.LOCK_OWNER_OWNER, "admin": LockOwner.LOCK_OWNER_ADMIN}
# As many as a server may have.
MAX_TAGS = 50
_ADMIN_SORTS = frozenset({"host", "node"})
_PAGING = frozenset({"limit", "marker", "sort_key", "sort_dir"})


class NothingMatches(Exception):
    """The filters can't match any server."""


def build(call: ComputeRequest, *, detail: bool) -> ListInstancesRequest:
    """The conductor's question. Raises HttpError 400 or 403, and NothingMatches."""
    options = _allowed_options(call)
    request = ListInstancesRequest(page_size=page_limit(call), brief=not detail)
    marker = call.last("marker")
    if marker:
        request.marker = marker
    request.sort_keys.extend(_sorts(call))
    wanted = request.filter
    _status(call, options, wanted)
    _times(options, wanted)
    _scope(call, options, wanted, detail=detail)
    for name, value in options.items():
        setter = _SETTERS.get(name)
        if setter is not None:
            setter(wanted, value)
    return request


def _allowed_options(call: ComputeRequest) -> dict[str, str]:
    options = {name: values[-1] for name, values in call.query.items() if name not in _PAGING}
    if not call.allows("os_compute_api:servers:allow_all_filters"):
        options = {name: value for name, value in options.items() if _FOR_USERS.get(name, 1000) <= call.minor}
    for name in options:
        if name.startswith("_") or name in schema.REFUSED_FILTERS:
            raise HttpError(400, f"Invalid filter field: {name}.")
    return options


def _sorts(call: ComputeRequest) -> list[SortKey]:
    keys = call.query.get("sort_key", [])
    directions = call.query.get("sort_dir", [])
    sorts = []
    for position, key in enumerate(keys):
        if key in _ADMIN_SORTS and not call.context.is_admin:
            raise HttpError(403, f"Only administrators can sort servers by {key}")
        field = schema.SORT_FIELDS.get(key)
        if key == "locked" and call.minor >= 73:
            field = "locked"
        if field is None:
            continue
        direction = directions[position] if position < len(directions) else (directions or ["desc"])[0]
        if direction not in ("asc", "desc"):
            raise HttpError(400, f"Unknown sort direction, must be 'asc' or 'desc', not {direction!r}")
        sorts.append(SortKey(field=field, descending=direction == "desc"))
    if not keys and directions:
        if directions[0] not in ("asc", "desc"):
            raise HttpError(400, f"Unknown sort direction, must be 'asc' or 'desc', not {directions[0]!r}")
        sorts.append(SortKey(field="created_at", descending=directions[0] == "desc"))
    return sorts


def _status(call: ComputeRequest, options: dict[str, str], wanted: InstanceFilter) -> None:
    if options.pop("status", None) is None:
        return
    vm_states, task_states = states.states_of(call.query["status"])
    if not vm_states:
        if call.minor >= 38:
            raise HttpError(400, "Invalid status value")
        raise NothingMatches
    wanted.vm_states.extend(vm_states)
    wanted.task_states.extend(task_states)
    options.pop("vm_state", None)
    if [states.VM_STATES[state] for state in vm_states] == ["deleted"]:
        if not call.context.is_admin:
            raise HttpError(403, "Only administrators may list deleted instances")
        wanted.deleted = True


def _times(options: dict[str, str], wanted: InstanceFilter) -> None:
    since, before = changes.between(options)
    if since is not None:
        wanted.changes_since.CopyFrom(since)
    if before is not None:
        wanted.changes_before.CopyFrom(before)
    for name in ("created", "launched", "terminated"):
        text = options.pop(f"{name}_at", None)
        if text:
            _within(text, getattr(wanted, f"{name}_from"), getattr(wanted, f"{name}_before"))


def _within(text: str, first: Timestamp, beyond: Timestamp) -> None:
    """The time that a day, a second or a microsecond lasts, as exact as it was written."""
    try:
        first.CopyFrom(times.parse(text))
    except ValueError:
        raise NothingMatches from None
    # Whoever writes no zone means UTC, as these times are shown.
    step = timedelta(days=1) if "T" not in text and ":" not in text else timedelta(seconds=1)
    if "." in text:
        step = timedelta(microseconds=1)
    try:
        beyond.FromDatetime(first.ToDatetime() + step)
    except OverflowError:
        raise NothingMatches from None


def _scope(call: ComputeRequest, options: dict[str, str], wanted: InstanceFilter, *, detail: bool) -> None:
    text = options.pop("all_tenants", None)
    everywhere = False
    if text is not None:
        # `all_tenants` without a value asks for it too.
        parsed = True if text == "" else parse_bool(text)
        if parsed is None:
            raise HttpError(400, f"Invalid value '{text}' for all_tenants")
        everywhere = parsed
    if everywhere:
        kind = "detail" if detail else "index"
        call.require(f"os_compute_api:servers:{kind}:get_all_tenants")
        wanted.project_id = options.pop("project_id", "") or options.get("tenant_id", "")
    elif call.context.project_id:
        wanted.project_id = call.context.project_id
    else:
        wanted.user_id = call.context.user_id
    options.pop("tenant_id", None)
    options.pop("project_id", None)
    _presence(options, wanted)


def _presence(options: dict[str, str], wanted: InstanceFilter) -> None:
    """Deleted and soft-deleted ones: neither, where nothing is said; both, where changes are asked for."""
    deleted = options.pop("deleted", None)
    soft = parse_bool(options.pop("soft_deleted", ""))
    if wanted.deleted or (deleted is not None and parse_bool(deleted)):
        wanted.deleted = True
        wanted.or_soft_deleted = soft is not False
    elif deleted is not None or not (wanted.HasField("changes_since") or wanted.HasField("changes_before")):
        wanted.hide_deleted = True
        wanted.hide_soft_deleted = soft is not True


def _locked(wanted: InstanceFilter, value: str) -> None:
    parsed = parse_bool(value)
    if parsed is None:
        raise HttpError(400, f"Unrecognized value '{value}', acceptable values are: true, false")
    wanted.locked = 1 if parsed else 2


def _locked_by(wanted: InstanceFilter, value: str) -> None:
    owner = _LOCK_OWNERS.get(value.lower())
    if owner is None:
        raise NothingMatches
    wanted.lock_owners.append(owner)


def _config_drive(wanted: InstanceFilter, value: str) -> None:
    wanted.config_drive = 1 if parse_bool(value or "0") else 2


def _disk_config(wanted: InstanceFilter, value: str) -> None:
    wanted.auto_disk_config = 1 if value.upper() == "AUTO" or parse_bool(value) else 2


def _vm_state(wanted: InstanceFilter, value: str) -> None:
    state = states.VM_STATES_BY_NAME.get(value.lower())
    if state is None:
        raise NothingMatches
    wanted.vm_states.append(state)


def _task_state(wanted: InstanceFilter, value: str) -> None:
    state = states.TASK_STATES_BY_NAME.get(value.lower())
    if state is None:
        raise NothingMatches
    wanted.task_states.append(state)


def _power_state(wanted: InstanceFilter, value: str) -> None:
    if not (value.isascii() and value.isdigit() and len(value) < 10) or int(value) not in PowerState.values():
        raise NothingMatches
    wanted.power_states.append(PowerState.Name(int(value)))  # type: ignore[arg-type]


def _number(field: str) -> Callable[[InstanceFilter, str], None]:
    def put(wanted: InstanceFilter, value: str) -> None:
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise NothingMatches
        setattr(wanted, field, int(value))

    return put


def _pattern(field: str) -> Callable[[InstanceFilter, str], None]:
    def put(wanted: InstanceFilter, value: str) -> None:
        if value:
            wanted.patterns[field] = value

    return put


def _text(field: str) -> Callable[[InstanceFilter, str], None]:
    def put(wanted: InstanceFilter, value: str) -> None:
        setattr(wanted, field, value)

    return put


def _list(field: str) -> Callable[[InstanceFilter, str], None]:
    def put(wanted: InstanceFilter, value: str) -> None:
        getattr(wanted, field).extend(part for part in value.split(",") if part)

    return put


def _tags(field: str) -> Callable[[InstanceFilter, str], None]:
    def put(wanted: InstanceFilter, value: str) -> None:
        tags = dict.fromkeys(part for part in value.split(",") if part)
        if len(tags) > MAX_TAGS:
            # A server has no more, and each is a condition of its own in the database.
            raise HttpError(400, f"A filter may name {MAX_TAGS} tags at most.")
        getattr(wanted, field).extend(tags)

    return put


_SETTERS: dict[str, Callable[[InstanceFilter, str], None]] = {
    "name": _text("name_regex"),
    "display_name": _text("name_regex"),
    "description": _text("description_regex"),
    "display_description": _text("description_regex"),
    "hostname": _text("hostname_regex"),
    "ip": _text("address_regex"),
    "ip6": _text("address_v6_regex"),
    "image": _text("image_id"),
    "image_ref": _text("image_id"),
    "flavor": _text("flavor_id"),
    "host": _text("host"),
    "user_id": _text("user_id"),
    "launch_index": _number("launch_index"),
    "progress": _number("progress"),
    **{name: _pattern(name) for name in _PATTERNS},
    "uuid": _list("ids"),
    "tags": _tags("tags"),
    "tags-any": _tags("tags_any"),
    "not-tags": _tags("not_tags"),
    "not-tags-any": _tags("not_tags_any"),
    "locked": _locked,
    "locked_by": _locked_by,
    "config_drive": _config_drive,
    "auto_disk_config": _disk_config,
    "vm_state": _vm_state,
    "task_state": _task_state,
    "power_state": _power_state,
}

"""Lists of instances: filters, order and pages, the same on every database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    exists,
    func,
    or_,
    select,
)
from sqlalchemy.exc import DBAPIError

from db import interfaces
from db.faults import passes
from db.instances import parse
from db.schema.base import moment
from db.schema.compute import instance_metadata, instance_tags, instances
from db.schema.networks import virtual_interfaces
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest, SortKey
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.instance_pb2 import Instance, TaskState, VmState

PAGE = 1000
_LONG_AGO = datetime(1970, 1, 1)
_EXACT = (
    "project_id",
    "user_id",
    "host",
    "node",
    "image_id",
    "flavor_id",
    "reservation_id",
    "availability_zone",
    "key_name",
)
_REGEXES = {
    "name_regex": "display_name",
    "hostname_regex": "hostname",
    "description_regex": "display_description",
}
# What a pattern may be about, whatever else is sorted by.
_TEXTS = frozenset(
    {
        "key_name",
        "node",
        "reservation_id",
        "availability_zone",
        "kernel_id",
        "ramdisk_id",
        "root_device_name",
        "access_ip_v4",
        "access_ip_v6",
        *_REGEXES.values(),
    }
)
_ADDRESSES = {"address_regex": "address", "address_v6_regex": "address_v6"}
_NOT_SORTED_BY = {"body", "number"}
# A field of Instance that a list may be sorted by is a column of the same name.
SORT_KEYS = frozenset(column.name for column in instances.columns if column.name not in _NOT_SORTED_BY)
_NULLABLE = ("launched_at", "terminated_at", "deleted_at")
_HIDDEN_WHEN_BRIEF = (
    "flavor",
    "fault",
    "metadata",
    "system_metadata",
    "user_data",
    "key_data",
    "block_devices",
    "scheduler_hints",
    "tags",
)


def page(connection: Connection, request: ListInstancesRequest) -> tuple[list[Instance], str]:
    """One page of instances with their interfaces, and the token of the next page or an empty string.

    Raises InvalidArgumentError (page_token, sort_keys, a regular expression) and NotFoundError (marker).
    """
    size = min(request.page_size, PAGE) if request.page_size > 0 else PAGE
    keys = order(request.sort_keys)
    wanted = _where(select(instances.c.number, instances.c.body), request.filter)
    after = request.page_token or request.marker
    if after:
        wanted = wanted.where(_beyond(connection, keys, after, request))
    wanted = wanted.order_by(*(key.desc() if down else key.asc() for key, down in keys)).limit(size + 1)
    try:
        rows = connection.execute(wanted).all()
    except DBAPIError as error:
        if passes(error) or not _has_regex(request.filter):
            raise
        raise InvalidArgumentError("filter", "A filter is not a valid regular expression.") from error
    found = [parse(row[0], row[1]) for row in rows[:size]]
    for instance in found:
        # No list shows them, and they may be long.
        instance.ClearField("injected_files")
    if request.brief:
        for instance in found:
            for name in _HIDDEN_WHEN_BRIEF:
                instance.ClearField(name)  # type: ignore[arg-type]
    else:
        interfaces.attach_many(connection, found)
    return found, found[-1].id if len(rows) > size else ""


def order(keys: Sequence[SortKey]) -> list[tuple[ColumnElement[Any], bool]]:
    """The columns to sort by, each with whether it falls; always a total order.

    Raises InvalidArgumentError.
    """
    columns: list[tuple[ColumnElement[Any], bool]] = []
    for key in keys:
        if key.field not in SORT_KEYS:
            raise InvalidArgumentError("sort_keys", f"Instances can't be sorted by {key.field!r}.")
        columns.append((_sortable(instances.c[key.field]), key.descending))
    if not columns:
        columns.append((instances.c.created_at, True))
    columns.append((instances.c.number, columns[-1][1]))
    return columns


def _sortable(column: Column[Any]) -> ColumnElement[Any]:
    if isinstance(column.type, Boolean):
        # Nothing is less than False, as the databases see it.
        return case((column, 1), else_=0)
    # The databases don't agree on where NULL goes.
    return func.coalesce(column, _LONG_AGO) if column.name in _NULLABLE else column


def _beyond(
    connection: Connection,
    keys: list[tuple[ColumnElement[Any], bool]],
    instance_id: str,
    request: ListInstancesRequest,
) -> ColumnElement[bool]:
    """What comes after that instance in this order."""
    query = select(*(key for key, _ in keys)).where(instances.c.id == instance_id)
    if request.filter.project_id:
        # Whether another project's instance exists is none of this one's business.
        query = query.where(instances.c.project_id == request.filter.project_id)
    found = connection.execute(query).first()
    if found is None:
        if request.page_token:
            raise InvalidArgumentError("page_token", "The page token is of no use any more.")
        raise NotFoundError("marker", instance_id, f"Marker {instance_id} could not be found.")
    choices = []
    for index, (key, down) in enumerate(keys):
        same = [keys[before][0] == found[before] for before in range(index)]
        choices.append(and_(*same, key < found[index] if down else key > found[index]))
    return or_(*choices)


def _has_regex(wanted: InstanceFilter) -> bool:
    return bool(wanted.patterns) or any(getattr(wanted, name) for name in (*_REGEXES, *_ADDRESSES))


def _where(query: Select[Any], wanted: InstanceFilter) -> Select[Any]:
    conditions = [instances.c[name] == value for name in _EXACT if (value := getattr(wanted, name))]
    conditions += [
        instances.c[column].regexp_match(pattern)
        for name, column in _REGEXES.items()
        if (pattern := getattr(wanted, name))
    ]
    for name, pattern in wanted.patterns.items():
        if name not in _TEXTS:
            raise InvalidArgumentError("filter.patterns", f"There is no pattern on {name!r}.")
        conditions.append(instances.c[name].regexp_match(pattern))
    for name, values in (
        ("vm_state", wanted.vm_states),
        ("task_state", wanted.task_states),
        ("power_state", wanted.power_states),
        ("locked_by", wanted.lock_owners),
        ("id", wanted.ids),
        ("host", wanted.hosts),
    ):
        if values:
            conditions.append(instances.c[name].in_(list(values)))
    for name in ("locked", "config_drive", "auto_disk_config"):
        choice = getattr(wanted, name)
        if choice:
            conditions.append(instances.c[name].is_(choice == 1))
    for name in ("launch_index", "progress"):
        if wanted.HasField(name):  # type: ignore[arg-type]
            conditions.append(instances.c[name] == getattr(wanted, name))
    return query.where(*conditions, *_times(wanted), *_labels(wanted))


def _times(wanted: InstanceFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.HasField("changes_since"):
        conditions.append(instances.c.updated_at >= moment(wanted.changes_since))
    if wanted.HasField("changes_before"):
        conditions.append(instances.c.updated_at <= moment(wanted.changes_before))
    if wanted.HasField("created_at"):
        conditions.append(instances.c.created_at == moment(wanted.created_at))
    for name in ("created", "launched", "terminated"):
        start, end = f"{name}_from", f"{name}_before"
        if wanted.HasField(start):  # type: ignore[arg-type]
            conditions.append(instances.c[name + "_at"] >= moment(getattr(wanted, start)))
        if wanted.HasField(end):  # type: ignore[arg-type]
            conditions.append(instances.c[name + "_at"] < moment(getattr(wanted, end)))
    return [*conditions, *_presence(wanted)]


def _presence(wanted: InstanceFilter) -> list[ColumnElement[bool]]:
    """Deleted and soft-deleted ones."""
    soft = instances.c.vm_state == VmState.VM_STATE_SOFT_DELETED
    gone = instances.c.deleted_at.is_not(None)
    conditions: list[ColumnElement[bool]] = []
    changes = wanted.HasField("changes_since") or wanted.HasField("changes_before")
    if wanted.deleted:
        conditions.append(or_(gone, soft) if wanted.or_soft_deleted else gone)
    elif wanted.hide_deleted or not changes:
        conditions.append(~gone)
    if wanted.hide_soft_deleted:
        conditions.append(~soft)
    return conditions


def _labels(wanted: InstanceFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    conditions += [
        exists().where(
            virtual_interfaces.c.instance_id == instances.c.id,
            virtual_interfaces.c[column].regexp_match(pattern),
        )
        for name, column in _ADDRESSES.items()
        if (pattern := getattr(wanted, name))
    ]
    for key, value in wanted.metadata.items():
        conditions.append(
            exists().where(
                instance_metadata.c.instance_id == instances.c.id,
                instance_metadata.c.key == key,
                instance_metadata.c.value == value,
            )
        )
    conditions += [_tagged([tag]) for tag in wanted.tags]
    if wanted.tags_any:
        conditions.append(_tagged(wanted.tags_any))
    if wanted.not_tags:
        conditions.append(or_(*(~_tagged([tag]) for tag in wanted.not_tags)))
    if wanted.not_tags_any:
        conditions.append(~_tagged(wanted.not_tags_any))
    return conditions


def _tagged(tags: Sequence[str]) -> ColumnElement[bool]:
    return exists().where(instance_tags.c.instance_id == instances.c.id, instance_tags.c.tag.in_(list(tags)))


def matching(connection: Connection, instance_ids: Sequence[str], wanted: InstanceFilter) -> set[str]:
    """Those of these instances that a filter chooses."""
    query = _where(select(instances.c.id), wanted).where(instances.c.id.in_(list(instance_ids)))
    return {found[0] for found in connection.execute(query)}


def hosts_of(connection: Connection, instance_ids: Sequence[str], project_id: str) -> dict[str, str]:
    """The hosts that these instances of a project are on, by instance; one on no host is left out."""
    rows = connection.execute(
        select(instances.c.id, instances.c.host).where(
            instances.c.id.in_(list(instance_ids)),
            instances.c.project_id == project_id,
            instances.c.host != "",
            instances.c.deleted_at.is_(None),
        )
    )
    return {found[0]: found[1] for found in rows}


def at_rest(
    connection: Connection, vm_state: VmState.ValueType, after: int, limit: int = PAGE
) -> list[Instance]:
    """Instances in a state that nothing is being done to, from a number on, in the order of their numbers,
    without interfaces."""
    rows = connection.execute(
        select(instances.c.number, instances.c.body)
        .where(
            instances.c.number > after,
            instances.c.deleted_at.is_(None),
            instances.c.vm_state == vm_state,
            instances.c.task_state == TaskState.TASK_STATE_UNSPECIFIED,
        )
        .order_by(instances.c.number)
        .limit(limit)
    )
    return [parse(row[0], row[1]) for row in rows]


def changed_since(connection: Connection, at: datetime) -> dict[str, int]:
    """Ids and generations of the instances written at `at` or later."""
    rows = connection.execute(
        select(instances.c.id, instances.c.generation).where(instances.c.updated_at >= at)
    )
    return {found[0]: found[1] for found in rows}

"""Records of instances, one by one. db/instance_queries.py has the lists.

A writer locks a row with `lock`, changes the message it got, and hands it to `save`; nothing else writes
bodies.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from db.dialect import insert_numbers
from db.schema.base import moment, timestamp
from db.schema.compute import instance_metadata, instance_tags, instances
from novamesh.failures import GenerationConflictError, NotFoundError
from novamesh.types.v1.instance_pb2 import Instance

_BY_ID = select(instances.c.number, instances.c.body).where(instances.c.id == bindparam("id"))
_BY_IDS = select(instances.c.number, instances.c.body).where(
    instances.c.id.in_(bindparam("ids", expanding=True))
)
_LOCK = _BY_ID.with_for_update()
_LOCK_MANY = _BY_IDS.order_by(instances.c.number).with_for_update()
_SAVE = update(instances).where(instances.c.number == bindparam("key"))

_TEXT = (
    "project_id",
    "user_id",
    "display_name",
    "display_description",
    "hostname",
    "host",
    "node",
    "availability_zone",
    "image_id",
    "kernel_id",
    "ramdisk_id",
    "root_device_name",
    "key_name",
    "access_ip_v4",
    "access_ip_v6",
    "reservation_id",
)
_OTHERS = (
    "id",
    "generation",
    "vm_state",
    "task_state",
    "power_state",
    "progress",
    "config_drive",
    "launch_index",
    "locked",
    "locked_by",
    "auto_disk_config",
)
_TIMES = ("created_at", "updated_at", "launched_at", "terminated_at", "deleted_at")


def row(instance: Instance) -> dict[str, Any]:
    """The columns of an instance: its body and the copies for queries."""
    columns: dict[str, Any] = {name: getattr(instance, name) for name in _OTHERS}
    for name in _TEXT:
        columns[name] = getattr(instance, name)[:255]
    for name in _TIMES:
        columns[name] = moment(getattr(instance, name)) if instance.HasField(name) else None  # type: ignore[arg-type]
    columns["flavor_id"] = instance.flavor.id
    if instance.interfaces:
        stored = Instance()
        stored.CopyFrom(instance)
        stored.ClearField("interfaces")
        columns["body"] = stored.SerializeToString()
    else:
        columns["body"] = instance.SerializeToString()
    return columns


def parse(number: int, body: bytes) -> Instance:
    """A row as a message of its own, without interfaces."""
    instance = Instance.FromString(body)
    instance.number = number
    return instance


def add(connection: Connection, instance: Instance) -> Instance:
    """Insert a new record, and return it with its number. `instance` is left as it is."""
    stored = Instance()
    stored.CopyFrom(instance)
    add_many(connection, [stored])
    return stored


def add_many(connection: Connection, made: Sequence[Instance]) -> None:
    """Insert new records, and give the messages their numbers."""
    for instance in made:
        instance.generation = 1
    numbers = insert_numbers(connection, instances, [row(instance) for instance in made])
    for instance, number in zip(made, numbers, strict=True):
        instance.number = number
    _add_copies(connection, made)


def get(connection: Connection, instance_id: str) -> Instance:
    """One instance in any state, without interfaces.

    Raises NotFoundError.
    """
    found = connection.execute(_BY_ID, {"id": instance_id}).first()
    if found is None:
        raise NotFoundError("instance", instance_id)
    return parse(found.number, found.body)


def lock(connection: Connection, instance_id: str) -> Instance:
    """One instance, for change: nobody else may write it until this transaction ends.

    Raises NotFoundError.
    """
    found = connection.execute(_LOCK, {"id": instance_id}).first()
    if found is None:
        raise NotFoundError("instance", instance_id)
    return parse(found.number, found.body)


def get_many(connection: Connection, instance_ids: list[str]) -> dict[str, Instance]:
    """Instances by id, without interfaces; one that isn't there is left out."""
    if not instance_ids:
        return {}
    rows = connection.execute(_BY_IDS, {"ids": instance_ids})
    return {one.id: one for one in (parse(found.number, found.body) for found in rows)}


def lock_many(connection: Connection, instance_ids: list[str]) -> dict[str, Instance]:
    """Several instances for change, locked in the order of their numbers; one that isn't there is left
    out."""
    if not instance_ids:
        return {}
    rows = connection.execute(_LOCK_MANY, {"ids": instance_ids})
    return {one.id: one for one in (parse(found.number, found.body) for found in rows)}


def save(connection: Connection, instance: Instance, at: datetime) -> None:
    """Write what `lock` gave, changed by the caller. Its generation grows and updated_at becomes `at`."""
    instance.generation += 1
    instance.updated_at.CopyFrom(timestamp(at))
    connection.execute(_SAVE, {"key": instance.number, **row(instance)})


def save_labels(connection: Connection, instance: Instance) -> None:
    """Write the copies of metadata and tags that filters look at; call it with `save` after changing
    either."""
    for table in (instance_metadata, instance_tags):
        connection.execute(delete(table).where(table.c.instance_id == instance.id))
    _add_copies(connection, [instance])


def check_generation(instance: Instance, expected: int) -> None:
    """Make sure that an instance is as its reader saw it; 0 is for a reader who doesn't mind.

    Raises GenerationConflictError.
    """
    if expected and instance.generation != expected:
        raise GenerationConflictError("instance", instance.id, expected, instance.generation)


def _add_copies(connection: Connection, of: Sequence[Instance]) -> None:
    metadata = [
        {"instance_id": instance.id, "key": key, "value": value}
        for instance in of
        for key, value in instance.metadata.items()
    ]
    if metadata:
        connection.execute(insert(instance_metadata), metadata)
    tags = [{"instance_id": instance.id, "tag": tag} for instance in of for tag in instance.tags]
    if tags:
        connection.execute(insert(instance_tags), tags)

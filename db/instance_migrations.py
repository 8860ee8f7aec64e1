"""Records of migrations: moves of instances to other hosts or sizes. (db/migrations is Alembic's folder.)

A writer locks the instance first, then its migration with `lock` or `lock_open`, changes the message it got,
and hands it to `save`.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update

from db.dialect import insert_number
from db.schema.base import moment, timestamp
from db.schema.compute import flavors
from db.schema.moves import migrations
from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest, MigrationFilter
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType

PAGE = 1000
# Nothing more will come of these.
ENDED = (
    MigrationStatus.MIGRATION_STATUS_CONFIRMED,
    MigrationStatus.MIGRATION_STATUS_REVERTED,
    MigrationStatus.MIGRATION_STATUS_ERROR,
    MigrationStatus.MIGRATION_STATUS_COMPLETED,
    MigrationStatus.MIGRATION_STATUS_CANCELLED,
    MigrationStatus.MIGRATION_STATUS_FAILED,
    MigrationStatus.MIGRATION_STATUS_DONE,
)

_c = migrations.c
_ROW = select(_c.number, _c.body)
_BY_ID = _ROW.where(_c.id == bindparam("of"))
_OPEN = (
    _ROW.where(_c.instance_id == bindparam("of"), _c.status.not_in(ENDED)).order_by(_c.number.desc()).limit(1)
)
_SAVE = update(migrations).where(_c.number == bindparam("key"))
_FLAVORS = select(flavors.c.id, flavors.c.number).where(flavors.c.id.in_(bindparam("ids", expanding=True)))
_COPIES = (
    "id",
    "generation",
    "instance_id",
    "type",
    "status",
    "source_compute",
    "dest_compute",
    "held_host",
    "user_id",
    "project_id",
)


def _row(migration: Migration) -> dict[str, Any]:
    return {
        **{name: getattr(migration, name) for name in _COPIES},
        "created_at": moment(migration.created_at),
        "updated_at": moment(migration.updated_at),
        "body": migration.SerializeToString(),
    }


def _parse(number: int, body: bytes) -> Migration:
    migration = Migration.FromString(body)
    migration.number = number
    return migration


def add(connection: Connection, migration: Migration, at: datetime) -> Migration:
    """Insert a new record, and return it with id, number and the numbers of its flavors. `migration` is left
    as it is."""
    stored = Migration()
    stored.CopyFrom(migration)
    stored.id = stored.id or str(uuid.uuid4())
    stored.generation = 1
    stored.created_at.CopyFrom(timestamp(at))
    stored.updated_at.CopyFrom(timestamp(at))
    wanted = {"ids": [stored.old_flavor.id, stored.new_flavor.id]}
    numbers = {found.id: found.number for found in connection.execute(_FLAVORS, wanted)}
    stored.old_flavor_number = numbers.get(stored.old_flavor.id, 0)
    stored.new_flavor_number = numbers.get(stored.new_flavor.id, 0)
    stored.number = insert_number(connection, migrations, _row(stored))
    return stored


def get(connection: Connection, migration_id: str) -> Migration:
    """One migration by its UUID.

    Raises NotFoundError.
    """
    return _one(connection, migration_id, locked=False)


def lock(connection: Connection, migration_id: str) -> Migration:
    """The same, for change: nobody else may write it until this transaction ends.

    Raises NotFoundError.
    """
    return _one(connection, migration_id, locked=True)


def _one(connection: Connection, migration_id: str, *, locked: bool) -> Migration:
    found = connection.execute(_BY_ID.with_for_update() if locked else _BY_ID, {"of": migration_id}).first()
    if found is None:
        raise NotFoundError("migration", migration_id)
    return _parse(found.number, found.body)


def by_number(connection: Connection, instance_id: str, number: int) -> Migration:
    """One migration of an instance by its integer id.

    Raises NotFoundError.
    """
    wanted = _ROW.where(_c.number == number, _c.instance_id == instance_id)
    found = connection.execute(wanted).first()
    if found is None:
        raise NotFoundError("migration", str(number))
    return _parse(found.number, found.body)


def of_instance(connection: Connection, instance_id: str) -> Migration | None:
    """The migration of an instance that has not ended; there is one at most. None for none."""
    found = connection.execute(_OPEN, {"of": instance_id}).first()
    return None if found is None else _parse(found.number, found.body)


def lock_open(connection: Connection, instance_id: str) -> Migration | None:
    """The same, for change. The instance must be locked already."""
    found = connection.execute(_OPEN.with_for_update(), {"of": instance_id}).first()
    return None if found is None else _parse(found.number, found.body)


def save(connection: Connection, migration: Migration, at: datetime) -> None:
    """Write what `lock` gave, changed by the caller. Its generation grows and updated_at becomes `at`."""
    connection.execute(_SAVE, _changed(migration, at))


def _changed(migration: Migration, at: datetime) -> dict[str, Any]:
    migration.generation += 1
    migration.updated_at.CopyFrom(timestamp(at))
    return {"key": migration.number, **_row(migration)}


def finished_before(connection: Connection, at: datetime, limit: int) -> list[Migration]:
    """Resizes and migrations that have waited for a confirm or revert since before `at`, the oldest
    first."""
    wanted = (
        _ROW.where(_c.status == MigrationStatus.MIGRATION_STATUS_FINISHED, _c.updated_at <= at)
        .order_by(_c.updated_at, _c.number)
        .limit(limit)
    )
    return [_parse(found.number, found.body) for found in connection.execute(wanted)]


def complete_evacuations(
    connection: Connection, source: str, instance_ids: Sequence[str], at: datetime
) -> None:
    """What these instances left on a host is gone: their evacuations from it are over for good."""
    if not instance_ids:
        return
    wanted = _ROW.where(
        _c.source_compute == source,
        _c.type == MigrationType.MIGRATION_TYPE_EVACUATION,
        _c.status == MigrationStatus.MIGRATION_STATUS_DONE,
        _c.instance_id.in_(list(instance_ids)),
    )
    values = []
    for found in connection.execute(wanted.order_by(_c.number).with_for_update()).all():
        migration = _parse(found.number, found.body)
        migration.status = MigrationStatus.MIGRATION_STATUS_COMPLETED
        values.append(_changed(migration, at))
    if values:
        # Many at once: a host that was down had many guests.
        connection.execute(_SAVE, values)


def ahead(
    connection: Connection,
    migration: Migration,
    under_way: Sequence[MigrationStatus.ValueType],
    waiting: MigrationStatus.ValueType,
) -> int:
    """How many migrations of the same type and source are under way, or have waited for longer."""
    wanted = select(func.count()).where(
        _c.source_compute == migration.source_compute,
        _c.type == migration.type,
        _c.number != migration.number,
        or_(
            _c.status.in_(list(under_way)),
            and_(_c.status == waiting, _c.number < migration.number),
        ),
    )
    return int(connection.execute(wanted).scalar_one())


def page(connection: Connection, request: ListMigrationsRequest) -> tuple[list[Migration], str]:
    """A page, the newest first, and the token of the next one or an empty string.

    Raises InvalidArgumentError (page_token) and NotFoundError (marker).
    """
    size = min(request.page_size, PAGE) if request.page_size > 0 else PAGE
    wanted = _ROW.where(*_where(request.filter))
    after = request.page_token or request.marker
    if after:
        wanted = wanted.where(_beyond(connection, after, is_marker=not request.page_token))
    rows = connection.execute(wanted.order_by(_c.created_at.desc(), _c.number.desc()).limit(size + 1)).all()
    found = [_parse(row.number, row.body) for row in rows[:size]]
    return found, found[-1].id if len(rows) > size else ""


def _beyond(connection: Connection, migration_id: str, *, is_marker: bool) -> ColumnElement[bool]:
    last = connection.execute(select(_c.created_at, _c.number).where(_c.id == migration_id)).first()
    if last is None and is_marker:
        raise NotFoundError("marker", migration_id, f"Marker {migration_id} could not be found.")
    if last is None:
        raise InvalidArgumentError("page_token", "The page token is of no use any more.")
    return or_(
        _c.created_at < last.created_at, and_(_c.created_at == last.created_at, _c.number < last.number)
    )


def _where(wanted: MigrationFilter) -> Sequence[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        _c[name] == value
        for name in ("instance_id", "source_compute", "user_id", "project_id")
        if (value := getattr(wanted, name))
    ]
    if wanted.host:
        conditions.append(or_(_c.source_compute == wanted.host, _c.dest_compute == wanted.host))
    if wanted.statuses:
        conditions.append(_c.status.in_(list(wanted.statuses)))
    if wanted.types:
        conditions.append(_c.type.in_(list(wanted.types)))
    if wanted.HasField("changes_since"):
        conditions.append(_c.updated_at >= moment(wanted.changes_since))
    if wanted.HasField("changes_before"):
        conditions.append(_c.updated_at <= moment(wanted.changes_before))
    return conditions

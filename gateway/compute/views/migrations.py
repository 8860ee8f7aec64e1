"""Migrations as the Compute API shows them: to administrators with hosts, to others without."""

from collections.abc import Callable
from typing import Any, NamedTuple

from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.compute.views.links import LinkMaker
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType

_Status, _Type = MigrationStatus, MigrationType

STATUSES: "dict[MigrationStatus.ValueType, str]" = {
    value: name.removeprefix("MIGRATION_STATUS_").lower() for name, value in _Status.items() if value
}
STATUSES[_Status.MIGRATION_STATUS_PRE_MIGRATING] = "pre-migrating"
STATUSES[_Status.MIGRATION_STATUS_POST_MIGRATING] = "post-migrating"
TYPES: "dict[MigrationType.ValueType, str]" = {
    _Type.MIGRATION_TYPE_RESIZE: "resize",
    _Type.MIGRATION_TYPE_MIGRATION: "migration",
    _Type.MIGRATION_TYPE_LIVE_MIGRATION: "live-migration",
    _Type.MIGRATION_TYPE_EVACUATION: "evacuation",
}
STATUSES_BY_NAME = {name: value for value, name in STATUSES.items()}
TYPES_BY_NAME = {name: value for value, name in TYPES.items()}

LIVE = _Type.MIGRATION_TYPE_LIVE_MIGRATION
# Statuses of live migrations that servers/{id}/migrations shows.
IN_PROGRESS = (
    _Status.MIGRATION_STATUS_QUEUED,
    _Status.MIGRATION_STATUS_PREPARING,
    _Status.MIGRATION_STATUS_RUNNING,
    _Status.MIGRATION_STATUS_POST_MIGRATING,
)


Value = Callable[[Migration, "MigrationView"], Any]


class Field(NamedTuple):
    """A field of a migration, and the microversion that brought it."""

    name: str
    value: Value
    first: int = 1


def _host(name: str) -> Field:
    """Null for those who don't see hosts."""
    return Field(name, lambda m, v: (getattr(m, name) or None) if v.with_hosts else None)


_COMMON = (
    Field("id", lambda m, v: m.number),
    Field("uuid", lambda m, v: m.id, 59),
    Field("status", lambda m, v: STATUSES.get(m.status)),
    Field("created_at", lambda m, v: times.microseconds(m.created_at)),
    Field("updated_at", lambda m, v: times.microseconds(m.updated_at)),
    *(_host(name) for name in ("source_compute", "source_node", "dest_compute", "dest_node", "dest_host")),
    Field("user_id", lambda m, v: m.user_id, 80),
    Field("project_id", lambda m, v: m.project_id, 80),
)
# Of GET /os-migrations.
_LISTED = (
    *_COMMON,
    Field("instance_uuid", lambda m, v: m.instance_id),
    Field("old_instance_type_id", lambda m, v: m.old_flavor_number),
    Field("new_instance_type_id", lambda m, v: m.new_flavor_number),
    Field("migration_type", lambda m, v: TYPES.get(m.type), 23),
)
# Of a server's, which are live migrations.
_OF_SERVER = (
    *_COMMON,
    Field("server_uuid", lambda m, v: m.instance_id),
    Field("memory_total_bytes", lambda m, v: m.memory_total),
    Field("memory_processed_bytes", lambda m, v: m.memory_processed),
    Field("memory_remaining_bytes", lambda m, v: m.memory_remaining),
    Field("disk_total_bytes", lambda m, v: m.disk_total),
    Field("disk_processed_bytes", lambda m, v: m.disk_processed),
    Field("disk_remaining_bytes", lambda m, v: m.disk_remaining),
)
# The microversion from which a migration that is under way has links to itself.
_LINKED = 23


class MigrationView:
    """Shows migrations to one caller at one microversion."""

    def __init__(self, call: ComputeRequest, *, with_hosts: bool) -> None:
        self._call = call
        self.with_hosts = with_hosts

    def listed(self, migration: Migration) -> dict[str, Any]:
        """One of GET /os-migrations."""
        shown = self._show(_LISTED, migration)
        if self._call.minor >= _LINKED and migration.type == LIVE and migration.status in IN_PROGRESS:
            place = LinkMaker(self._call, f"servers/{migration.instance_id}/migrations")
            shown["links"] = place.links(str(migration.number))
        return shown

    def of_server(self, migration: Migration) -> dict[str, Any]:
        """One of a server's, which is a live migration."""
        return self._show(_OF_SERVER, migration)

    def _show(self, fields: tuple[Field, ...], migration: Migration) -> dict[str, Any]:
        minor = self._call.minor
        return {field.name: field.value(migration, self) for field in fields if field.first <= minor}

"""Live migrations that are under way: whose turn it is, and who may force or abort one. Units of work on the
database."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from db import hosts, instance_migrations, operations
from db.database import Connection
from novamesh.errors.v1.errors_pb2 import StateConflict
from novamesh.failures import InvalidArgumentError, NotFoundError, StateConflictError, task_state_name
from novamesh.types.v1.instance_pb2 import Instance, TaskState
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import edits, states

LIVE = MigrationType.MIGRATION_TYPE_LIVE_MIGRATION
QUEUED = MigrationStatus.MIGRATION_STATUS_QUEUED
PREPARING = MigrationStatus.MIGRATION_STATUS_PREPARING
RUNNING = MigrationStatus.MIGRATION_STATUS_RUNNING
POST_MIGRATING = MigrationStatus.MIGRATION_STATUS_POST_MIGRATING
CANCELLED = MigrationStatus.MIGRATION_STATUS_CANCELLED
COMPLETED = MigrationStatus.MIGRATION_STATUS_COMPLETED
MIGRATING = TaskState.TASK_STATE_MIGRATING


@dataclass(frozen=True)
class Interference:
    """A request to force or abort a live migration."""

    request_id: str
    instance_id: str
    project_id: str
    number: int
    kind: OperationKind.ValueType
    # Nova's words for it in refusals.
    action: str
    method: str
    statuses: tuple[MigrationStatus.ValueType, ...]


def status_name(status: MigrationStatus.ValueType) -> str:
    """Nova's name of a migration's status."""
    name = MigrationStatus.Name(status).removeprefix("MIGRATION_STATUS_").lower()
    return name.replace("_", "-")


def interfere(
    connection: Connection, asked: Interference, context: RequestContext, at: datetime
) -> tuple[Instance, Migration]:
    """The instance and its migration, both locked, if the request may be; it is written down as done.

    Raises NotFoundError (instance, migration), StateConflictError, InvalidArgumentError (status).
    """
    instance = edits.lock_present(connection, asked.instance_id)
    if asked.project_id not in ("", instance.project_id):
        raise NotFoundError("instance", asked.instance_id)
    states.check_unlocked(instance, asked.action, context.is_admin)
    if instance.task_state != MIGRATING:
        task = task_state_name(instance.task_state) if instance.task_state else "None"
        raise StateConflictError(
            f"Cannot '{asked.action}' instance {instance.id} while it is in task_state {task}",
            StateConflict(
                instance_id=instance.id,
                action=asked.action,
                vm_state=instance.vm_state,
                task_state=instance.task_state,
            ),
        )
    try:
        found = instance_migrations.by_number(connection, instance.id, asked.number)
    except NotFoundError:
        message = f"Migration {asked.number} not found for instance {instance.id}"
        raise NotFoundError("migration", str(asked.number), message) from None
    migration = instance_migrations.lock(connection, found.id)
    if migration.type != LIVE or migration.status not in asked.statuses:
        raise InvalidArgumentError(
            "status",
            f"Migration {asked.number} state of instance {instance.id} is {status_name(migration.status)}. "
            f"Cannot {asked.method} while the migration is in this state.",
        )
    operations.record(
        connection,
        Operation(
            id=str(uuid.uuid4()),
            kind=asked.kind,
            instance_id=instance.id,
            project_id=instance.project_id,
            user_id=context.user_id or instance.user_id,
            request_id=asked.request_id or context.request_id or str(uuid.uuid4()),
            host=instance.host,
        ),
        at,
    )
    return instance, migration


def has_turn(connection: Connection, migration: Migration, most: int) -> bool:
    """Whether a queued migration may begin: fewer than `most` of its source run, and none waits longer.

    `most` 0 is any number.
    """
    under_way = (PREPARING, RUNNING, POST_MIGRATING)
    return most <= 0 or instance_migrations.ahead(connection, migration, under_way, QUEUED) < most


def take_turn(connection: Connection, migration: Migration, most: int, at: datetime) -> bool:
    """Begin a queued migration, which is locked, if it may. No two take the last turn of a source."""
    hosts.lock(connection, migration.source_compute)
    if migration.aborting or not has_turn(connection, migration, most):
        return False
    migration.status = PREPARING
    instance_migrations.save(connection, migration, at)
    return True

"""Moves of instances to other hosts and sizes: the units of work on their migrations, claims and quota.

A migration that is open holds room on two hosts: the instance's own, and what the migration's held_host and
held_flavor say. At first that is the destination's; once the instance has gone there, the source's. In the
quota an open resize counts the larger of both sizes, so that a revert always fits.

Whoever calls has locked the instance, and saves it.
"""

from datetime import datetime

from db import hosts, instance_migrations, interfaces
from db.database import Connection
from db.hosts import Size
from novamesh.errors.v1.errors_pb2 import StateConflict
from novamesh.failures import InvalidArgumentError, StateConflictError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.conductor import limits
from services.conductor.limits import Owner
from services.conductor.preparation import Preparation

ACCEPTED = MigrationStatus.MIGRATION_STATUS_ACCEPTED
PRE_MIGRATING = MigrationStatus.MIGRATION_STATUS_PRE_MIGRATING
MIGRATING = MigrationStatus.MIGRATION_STATUS_MIGRATING
POST_MIGRATING = MigrationStatus.MIGRATION_STATUS_POST_MIGRATING
FINISHED = MigrationStatus.MIGRATION_STATUS_FINISHED
CONFIRMING = MigrationStatus.MIGRATION_STATUS_CONFIRMING
CONFIRMED = MigrationStatus.MIGRATION_STATUS_CONFIRMED
REVERTING = MigrationStatus.MIGRATION_STATUS_REVERTING
REVERTED = MigrationStatus.MIGRATION_STATUS_REVERTED
ERROR = MigrationStatus.MIGRATION_STATUS_ERROR
FAILED = MigrationStatus.MIGRATION_STATUS_FAILED


def begin(
    connection: Connection, asked: Preparation, kind: MigrationType.ValueType, new_flavor: Flavor
) -> Migration:
    """Make the migration of an operation that is being accepted, and write its id into the operation.

    Raises StateConflictError while another migration of the instance is under way.
    """
    instance = asked.instance
    open_one = instance_migrations.lock_open(connection, instance.id)
    if open_one is not None:
        if open_one.status != FINISHED:
            raise StateConflictError(
                f"Another migration of instance {instance.id} is under way.",
                StateConflict(
                    instance_id=instance.id, vm_state=instance.vm_state, task_state=instance.task_state
                ),
            )
        # An administrator has reset the state of an instance that waited for a confirm.
        close(connection, instance, open_one, FAILED, asked.at)
    made = instance_migrations.add(
        connection,
        Migration(
            instance_id=instance.id,
            type=kind,
            status=ACCEPTED,
            source_compute=instance.host,
            source_node=instance.node,
            old_flavor=instance.flavor,
            new_flavor=new_flavor,
            user_id=asked.context.user_id or instance.user_id,
            project_id=asked.context.project_id or instance.project_id,
            operation_id=asked.operation.id,
            old_vm_state=instance.vm_state,
        ),
        asked.at,
    )
    asked.operation.arguments.migration_id = made.id
    return made


def lock_finished(connection: Connection, asked: Preparation) -> Migration:
    """The migration that waits for the confirm or revert that is being accepted; its id is written into the
    operation.

    Raises InvalidArgumentError with Nova's sentence when there is none.
    """
    found = instance_migrations.lock_open(connection, asked.instance.id)
    if found is None or found.status != FINISHED:
        raise InvalidArgumentError("instance_id", "Instance has not been resized.")
    asked.operation.arguments.migration_id = found.id
    return found


def waits(connection: Connection, instance: Instance) -> bool:
    """Whether a resize or migration of the instance waits to be confirmed or reverted."""
    found = instance_migrations.of_instance(connection, instance.id)
    return found is not None and found.status == FINISHED


def choose(migration: Migration, destination: Host) -> None:
    """The destination has been claimed."""
    migration.status = PRE_MIGRATING
    migration.dest_compute = destination.name
    migration.dest_node = destination.inventory.hypervisor_hostname or destination.name
    migration.dest_host = destination.inventory.host_ip
    migration.held_host = destination.name
    migration.held_flavor.CopyFrom(migration.new_flavor)


def gone(migration: Migration) -> bool:
    """True when the instance is the destination's, in its new size."""
    return migration.held_host == migration.source_compute and (
        migration.dest_compute != migration.source_compute
        or migration.held_flavor.id == migration.old_flavor.id
    )


def go(connection: Connection, instance: Instance, migration: Migration, destination: Host) -> None:
    """The instance is the destination's now, in its new size; the migration holds what it had before."""
    _put(connection, instance, destination)
    instance.flavor.CopyFrom(migration.new_flavor)
    migration.held_host = migration.source_compute
    migration.held_flavor.CopyFrom(migration.old_flavor)


def come_back(connection: Connection, instance: Instance, migration: Migration, source: Host) -> None:
    """The other way round."""
    _put(connection, instance, source)
    instance.flavor.CopyFrom(migration.old_flavor)
    migration.held_host = migration.dest_compute
    migration.held_flavor.CopyFrom(migration.new_flavor)


def _put(connection: Connection, instance: Instance, host: Host) -> None:
    if instance.host != host.name:
        interfaces.move(connection, instance.id, host.name)
    instance.host = host.name
    instance.node = host.inventory.hypervisor_hostname or host.name
    instance.availability_zone = host.availability_zone


def close(
    connection: Connection,
    instance: Instance,
    migration: Migration,
    status: MigrationStatus.ValueType,
    at: datetime,
) -> None:
    """The migration is over: the instance keeps what it has now, and the rest is free."""
    if migration.held_host:
        hosts.release(connection, migration.held_host, Size.of(migration.held_flavor))
        migration.held_host = ""
        migration.ClearField("held_flavor")
    limits.settle_resize(connection, Owner(instance.project_id, instance.user_id), migration, instance.flavor)
    migration.status = status
    instance_migrations.save(connection, migration, at)


def abandon(connection: Connection, instance: Instance, at: datetime) -> str:
    """The instance is being deleted, or leaves a host that is down: whatever migration it has is over.

    Returns the host that gets room back; empty for none.
    """
    migration = instance_migrations.lock_open(connection, instance.id)
    if migration is None:
        return ""
    freed = migration.held_host
    # Deleting what waits for a confirm confirms it, as Nova has it.
    status = CONFIRMED if migration.status in (FINISHED, CONFIRMING) else FAILED
    close(connection, instance, migration, status, at)
    return freed

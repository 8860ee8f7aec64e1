"""Back to the source: how a revert, and a resize that failed, restore the guest that was kept aside.

The destination's guest is ended first, if the destination answers; one that doesn't ends it by itself when
it is back and finds that the instance is elsewhere. Every step looks at the records, so it may be begun
again anywhere.
"""

from typing import TYPE_CHECKING

import structlog

from db import instance_migrations, instances, leases
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.resize_service_pb2 import FinishRevertRequest, RevertResizeRequest
from novamesh.compute.v1.resize_service_pb2_grpc import ResizeServiceStub
from novamesh.failures import Failure
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from novamesh.types.v1.migration_pb2 import Migration
from services.conductor import moves, states
from services.conductor.endings import OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.workflows.ground import Ground

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.resize_service_pb2_grpc import ResizeServiceAsyncStub

log = structlog.get_logger("novamesh.conductor")

# How often a host is asked that doesn't answer, or fails in a way that may pass, before the way goes on
# without it: 15 s with the default pauses, in which a compute role that died is back.
TRIES = 5


def resizer(ground: Ground, host: Host) -> "ResizeServiceAsyncStub":
    """The compute role of a host."""
    return ResizeServiceStub(ground.node.channel_to(host.address, "compute", host.name))


async def restore(ground: Ground, work: Work) -> PowerState.ValueType:
    """Bring guest and record back to the source; returns the guest's power state.

    Raises HostDownError for the source, OvertakenError, and what the source fails with.
    """
    operation = work.operation
    migration = await ground.database.read(
        lambda c: instance_migrations.get(c, operation.arguments.migration_id)
    )
    source = await ground.host(migration.source_compute)
    if source is None or not source.up:
        raise HostDownError(migration.source_compute)
    if moves.gone(migration):
        await _end_at_destination(ground, work, migration)
        await _come_back(ground, work, source)
    instance, _ = await ground.read(operation.instance_id)
    await ground.plug(instance, source)
    request = FinishRevertRequest(
        operation_id=operation.id,
        instance=instance,
        migration=migration,
        power_on=migration.old_vm_state == states.ACTIVE,
    )
    answer = await resizer(ground, source).FinishRevert(request, timeout=ground.options.action_timeout)
    return answer.power_state


async def _end_at_destination(ground: Ground, work: Work, migration: Migration) -> None:
    instance, destination = await ground.read(work.operation.instance_id)
    if destination is None or not destination.up:
        log.warning("guest left at its destination", instance=instance.id, host=migration.dest_compute)
        return
    request = RevertResizeRequest(operation_id=work.operation.id, instance=instance, migration=migration)
    try:
        await resizer(ground, destination).RevertResize(request, timeout=ground.options.action_timeout)
        if migration.dest_compute != migration.source_compute:
            await ground.unplug(instance, destination)
    except Failure as failure:
        tries = work.memory.get("ending", 0) + 1
        work.memory["ending"] = tries
        if failure.transient and tries < TRIES:
            raise
        log.warning(
            "guest left at its destination",
            instance=instance.id,
            host=destination.name,
            reason=failure.message,
        )


async def _come_back(ground: Ground, work: Work, source: Host) -> None:
    at = now()

    def write(connection: Connection) -> Instance:
        instance = instances.lock(connection, work.operation.instance_id)
        work.operation.host = source.name
        if not leases.remember(connection, work, ground.owner, at):
            raise OvertakenError()
        migration = instance_migrations.lock(connection, work.operation.arguments.migration_id)
        moves.come_back(connection, instance, migration, source)
        instance_migrations.save(connection, migration, at)
        instances.save(connection, instance, at)
        return instance

    instance = await ground.database.write(write)
    ground.feeds.instances.touch([instance.id])

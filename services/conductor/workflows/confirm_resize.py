"""Confirm: what the source has kept of the guest is dropped, and its room there is free.

A source that is down drops it when it is back and finds that the migration is over.
"""

import structlog

from db import instance_migrations
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.resize_service_pb2 import ConfirmResizeRequest
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from services.conductor import endings, moves, states
from services.conductor.endings import Ending
from services.conductor.preparation import Preparation
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.way_back import resizer

log = structlog.get_logger("novamesh.conductor")


class ConfirmResizeWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """The migration is CONFIRMING. Raises InvalidArgumentError when there is none."""
        migration = moves.lock_finished(connection, asked)
        migration.status = moves.CONFIRMING
        instance_migrations.save(connection, migration, asked.at)

    async def run(self, work: Work) -> None:
        """ACTIVE, or STOPPED when the guest is off."""
        operation = work.operation
        wanted = operation.arguments.migration_id
        migration = await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))
        instance, _ = await self._ground.read(operation.instance_id)
        source = await self._ground.host(migration.source_compute)
        if source is not None and source.up:
            operation.host = source.name
            request = ConfirmResizeRequest(operation_id=operation.id, instance=instance, migration=migration)
            await resizer(self._ground, source).ConfirmResize(
                request, timeout=self._ground.options.action_timeout
            )
        else:
            log.warning("resize confirmed without its source", instance=instance.id, host=operation.host)
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            off = locked.power_state == PowerState.POWER_STATE_SHUTDOWN
            locked.vm_state = states.STOPPED if off else states.ACTIVE
            locked.task_state = states.IDLE
            locked.ClearField("fault")
            locked_migration = instance_migrations.lock(connection, wanted)
            moves.close(connection, locked, locked_migration, moves.CONFIRMED, at)

        end = endings.succeeded(operation.id, self._ground.owner, migration.source_compute)
        await self._ground.end(Ending(end, instance.id, at, change), host=migration.held_host)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """It stays RESIZED, with the reason in its fault: it may be confirmed again, or reverted."""
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))
            migration = instance_migrations.lock(connection, work.operation.arguments.migration_id)
            migration.status = moves.FINISHED
            instance_migrations.save(connection, migration, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

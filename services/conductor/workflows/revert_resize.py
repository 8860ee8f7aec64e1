"""Revert: the guest is what it was before, where it was before, and the destination's room is free."""

from db import instance_migrations, usage
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, moves, states
from services.conductor.endings import Ending
from services.conductor.preparation import Preparation
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.way_back import restore


class RevertResizeWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """The migration is REVERTING. Raises InvalidArgumentError when there is none."""
        migration = moves.lock_finished(connection, asked)
        migration.status = moves.REVERTING
        instance_migrations.save(connection, migration, asked.at)

    async def run(self, work: Work) -> None:
        """ACTIVE or STOPPED, as it was."""
        power_state = await restore(self._ground, work)
        operation, at = work.operation, now()
        wanted = operation.arguments.migration_id
        migration = await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = migration.old_vm_state
            locked.task_state = states.IDLE
            locked.power_state = power_state
            locked.ClearField("fault")
            usage.change_flavor(connection, locked, at)
            locked_migration = instance_migrations.lock(connection, wanted)
            moves.close(connection, locked, locked_migration, moves.REVERTED, at)

        end = endings.succeeded(operation.id, self._ground.owner, migration.source_compute)
        await self._ground.end(Ending(end, operation.instance_id, at, change), host=migration.held_host)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason: nobody knows what became of the guest. It is where its record says, with
        the room that it has there."""
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = states.ERROR
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))
            usage.change_flavor(connection, locked, at)
            migration = instance_migrations.lock(connection, work.operation.arguments.migration_id)
            moves.close(connection, locked, migration, moves.ERROR, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

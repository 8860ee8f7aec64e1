"""Resizes and migrations that nobody has confirmed or reverted: confirmed after resize_confirm_window."""

from datetime import datetime, timedelta

import structlog

from db import instance_migrations, instances
from db.database import Connection, Database
from db.schema.base import now
from novamesh.failures import Failure, StateConflictError
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import moves, states
from services.conductor.limits import Owner
from services.conductor.operations import OperationServicer

log = structlog.get_logger("novamesh.conductor")

LONGEST_PAUSE = 60.0
# Migrations looked at in one round.
BATCH = 100


class ResizeConfirmer:
    """Confirms in the name of who asked for the resize."""

    def __init__(self, database: Database, operations: OperationServicer, window: int) -> None:
        self._database = database
        self._operations = operations
        self._window = window
        self.pause = min(LONGEST_PAUSE, max(1.0, window))
        """Seconds between two looks."""

    async def confirm(self) -> None:
        """Look once. Two conductors may: the second confirm finds the task of the first."""
        if self._window <= 0:
            return
        before = now() - timedelta(seconds=self._window)
        for migration in await self._database.read(
            lambda c: instance_migrations.finished_before(c, before, BATCH)
        ):
            await self._confirm(migration)

    async def _confirm(self, migration: Migration) -> None:
        owner = Owner(migration.project_id, migration.user_id)
        kind = OperationKind.OPERATION_KIND_CONFIRM_RESIZE
        try:
            await self._operations.start_for(owner, migration.instance_id, kind)
        except StateConflictError:
            await self._give_up(migration)
        except Failure as failure:
            log.warning("resize not confirmed", instance=migration.instance_id, reason=failure.message)
        else:
            log.info("resize confirmed", instance=migration.instance_id)

    async def _give_up(self, migration: Migration) -> None:
        """A migration whose instance an administrator has brought into another state is over."""
        at = now()
        if await self._database.write(lambda c: _close(c, migration, at)):
            log.warning("migration given up", instance=migration.instance_id, migration=migration.id)


def _close(connection: Connection, migration: Migration, at: datetime) -> bool:
    instance = instances.lock(connection, migration.instance_id)
    still = instance_migrations.lock(connection, migration.id)
    if still.status != moves.FINISHED or instance.vm_state == states.RESIZED or instance.task_state:
        return False
    moves.close(connection, instance, still, moves.FAILED, at)
    return True

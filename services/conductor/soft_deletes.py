"""Deletes that can be taken back: what a user's delete means, and the end of those that nobody took back.

An instance counts against its owner's quota unless it is SOFT_DELETED; a restore counts it again when it is
accepted.
"""

from datetime import timedelta

import structlog

from db.database import Database
from db.schema.base import moment, now
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import at_rest, states
from services.conductor.limits import Owner
from services.conductor.operations import OperationServicer

log = structlog.get_logger("novamesh.conductor")

LONGEST_PAUSE = 60.0


class Reclaimer:
    """Deletes instances that have been soft-deleted for long enough."""

    def __init__(self, database: Database, operations: OperationServicer, interval: int) -> None:
        self._database = database
        self._operations = operations
        self._interval = interval
        self.pause = min(LONGEST_PAUSE, max(1.0, interval))
        """Seconds between two looks."""

    async def reclaim(self) -> None:
        """Look once. Two conductors may: the second delete of an instance is the first one again."""
        if self._interval <= 0:
            return
        before = now() - timedelta(seconds=self._interval)
        async for instance in at_rest.every(self._database, states.SOFT_DELETED):
            if instance.HasField("soft_deleted_at") and moment(instance.soft_deleted_at) <= before:
                await self._delete(instance)

    async def _delete(self, instance: Instance) -> None:
        owner = Owner(instance.project_id, instance.user_id)
        try:
            await self._operations.start_for(owner, instance.id, OperationKind.OPERATION_KIND_DELETE)
        except Failure as failure:
            log.warning("instance not reclaimed", instance=instance.id, reason=failure.message)
        else:
            log.info("instance reclaimed", instance=instance.id)

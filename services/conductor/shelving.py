"""Shelved instances that keep their host only for a while: offloaded when `shelved_offload_time` is over."""

from datetime import datetime, timedelta

import structlog

from db.database import Database
from db.schema.base import now
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import at_rest, states
from services.conductor.limits import Owner
from services.conductor.operations import OperationServicer
from services.conductor.options import ConductorOptions
from services.conductor.workflows.shelve import SHELVED_AT

log = structlog.get_logger("novamesh.conductor")


class Offloader:
    """Offloads instances that have been shelved for long enough."""

    def __init__(self, database: Database, operations: OperationServicer, options: ConductorOptions) -> None:
        self._database = database
        self._operations = operations
        self._time = options.shelved_offload_time
        self.pause = options.shelved_poll_interval
        """Seconds between two looks."""

    async def offload(self) -> None:
        """Look once. Of two conductors that do, one is told that there is nothing to offload any more."""
        # At 0 shelving itself goes on to offload, below it nothing does.
        if self._time <= 0:
            return
        before = now() - timedelta(seconds=self._time)
        async for instance in at_rest.every(self._database, states.SHELVED):
            if _shelved_at(instance) <= before:
                await self._offload(instance)

    async def _offload(self, instance: Instance) -> None:
        owner = Owner(instance.project_id, instance.user_id)
        try:
            await self._operations.start_for(owner, instance.id, OperationKind.OPERATION_KIND_SHELVE_OFFLOAD)
        except Failure as failure:
            log.info("instance not offloaded", instance=instance.id, reason=failure.message)
        else:
            log.info("instance offloaded", instance=instance.id)


def _shelved_at(instance: Instance) -> datetime:
    text = instance.system_metadata.get(SHELVED_AT, "")
    return datetime.fromisoformat(text) if text else now()

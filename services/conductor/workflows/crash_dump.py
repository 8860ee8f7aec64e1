"""Trigger crash dump: an interrupt at which a guest that is set up for it writes its memory to its disk."""

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.guest_service_pb2 import InjectNmiRequest
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings
from services.conductor.endings import Ending
from services.conductor.workflows.at_host import guests, locate
from services.conductor.workflows.ground import Ground


class CrashDumpWorkflow:
    """See the module. The instance shows nothing of it."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def run(self, work: Work) -> None:
        """Interrupt the guest."""
        instance, host = await locate(self._ground, work)
        await guests(self._ground, host).InjectNmi(
            InjectNmiRequest(operation_id=work.operation.id, instance=instance),
            timeout=self._ground.options.action_timeout,
        )
        end = endings.succeeded(work.operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), lambda _connection, _instance: None))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance is as it was, with the reason in its fault."""
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

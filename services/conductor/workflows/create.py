"""Create: place, network, build; on another host when one fails; ERROR with the reason when none is left.

Runs again from wherever the record says it is: an instance that has its host is not placed anew, and the
host builds what it has built already only once, by the operation's id.
"""

from dataclasses import replace

from db import usage
from db.database import Connection
from db.operations import Work
from db.schema.base import moment, now
from novamesh.failures import Failure, StateConflictError
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, states
from services.conductor.endings import Ending
from services.conductor.workflows.building import Building, Built, Plan, told
from services.conductor.workflows.ground import Ground

_PLAN = Plan()


class CreateWorkflow:
    """See the module."""

    def __init__(self, ground: Ground, building: Building) -> None:
        self._ground = ground
        self._building = building

    async def run(self, work: Work) -> None:
        """Bring the instance up, on the first host that manages to."""
        instance, host = await self._ground.read(work.operation.instance_id)
        if instance.vm_state != states.BUILDING:
            await self._leave_be(work, instance)
            return
        await self._finish(work, await self._building.somewhere(work, instance, host, _PLAN))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason; host, room and addresses are free again."""
        await self._building.check_held(work)
        instance, host = await self._ground.read(work.operation.instance_id)
        if host is not None:
            await self._building.clear(work, instance, host)
        at = now()
        message, details = told(work, failure)
        fault = endings.fault_of(failure, at, message=message, details=details)

        def change(connection: Connection, locked: Instance) -> None:
            endings.break_build(connection, locked, fault, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        end = replace(end, error=details)
        await self._ground.end(Ending(end, instance.id, at, change), host=instance.host)

    async def _leave_be(self, work: Work, instance: Instance) -> None:
        """An administrator has set the instance's state meanwhile: nothing more is done to it."""
        failure = StateConflictError(
            "The instance's state was set while it was being built.",
            states.conflict(instance, states.CREATE),
        )
        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, instance.id, now(), lambda _connection, _instance: None))

    async def _finish(self, work: Work, built: Built) -> None:
        def change(connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.CREATE, built.answer.power_state)
            locked.ClearField("fault")
            locked.progress = 0
            locked.launched_at.CopyFrom(built.answer.launched_at)
            if not built.answer.HasField("launched_at"):
                locked.launched_at.GetCurrentTime()
            if built.answer.root_device_name:
                locked.root_device_name = built.answer.root_device_name
            usage.begin(connection, locked, moment(locked.launched_at))

        end = endings.succeeded(work.operation.id, self._ground.owner, built.host.name)
        await self._ground.end(Ending(end, built.instance.id, now(), change))

"""Shelve: power off and keep the root disk as an image. Offload: give the host up, too.

A shelved instance keeps its addresses, its place in the quota and in the usage; once it is offloaded it holds
nothing of any host. Where `shelved_offload_time` is 0, the one goes over into the other.
"""

from collections.abc import Callable

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2 import DeleteInstanceRequest, StopInstanceRequest
from novamesh.failures import Failure
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState
from services.conductor import claims, endings, states
from services.conductor.endings import Ending
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import locate
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import SHELVED_IMAGE, OperationImages
from services.conductor.workflows.snapshot import check_image
from services.conductor.workflows.taking import Taking, Tasks

# Nova's names in system_metadata, as SHELVED_IMAGE.
SHELVED_AT = "shelved_at"
SHELVED_HOST = "shelved_host"
SHELVED_KEYS = (SHELVED_AT, SHELVED_IMAGE, SHELVED_HOST)

_Task = TaskState
_TASKS = Tasks(
    _Task.TASK_STATE_SHELVING,
    _Task.TASK_STATE_SHELVING_IMAGE_PENDING_UPLOAD,
    _Task.TASK_STATE_SHELVING_IMAGE_UPLOADING,
)
_OURS = frozenset(
    {
        _Task.TASK_STATE_SHELVING,
        _Task.TASK_STATE_SHELVING_IMAGE_PENDING_UPLOAD,
        _Task.TASK_STATE_SHELVING_IMAGE_UPLOADING,
        _Task.TASK_STATE_SHELVING_OFFLOADING,
    }
)
OFF = PowerState.POWER_STATE_SHUTDOWN


def from_its_image(instance: Instance) -> Instance:
    """The instance for a host that is to make the root disk of what shelving kept."""
    shelved = Instance()
    shelved.CopyFrom(instance)
    shelved.image_id = instance.system_metadata[SHELVED_IMAGE]
    return shelved


class ShelveWorkflow:
    """See the module."""

    def __init__(self, ground: Ground, images: OperationImages) -> None:
        self._ground = ground
        self._taking = Taking(ground, images)

    def prepare(self, _connection: Connection, asked: Preparation) -> None:
        """Raises InvalidArgumentError when no image is named to upload to."""
        check_image(asked.operation)

    async def run(self, work: Work) -> None:
        """Power off, take, upload; offload where that is to be at once."""
        instance, host = await locate(self._ground, work)
        if instance.vm_state != states.SHELVED:
            await self._stop(work, instance, host)
            await self._taking.take(work, instance, host, _TASKS)
            if self._ground.options.shelved_offload_time != 0:
                end = endings.succeeded(work.operation.id, self._ground.owner, host.name)
                await self._ground.end(Ending(end, instance.id, now(), self._shelved(work)))
                return
            instance = await self._ground.advance(work, self._shelved(work))
        await offload(self._ground, work, instance, host)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance is as far as it got, off, with the reason in its fault."""
        instance, _ = await self._ground.read(work.operation.instance_id)
        if instance.vm_state != states.SHELVED:
            await self._taking.cancel(work)
        at = now()
        off = bool(work.memory.get("off"))

        def change(_connection: Connection, locked: Instance) -> None:
            if off and locked.vm_state != states.SHELVED:
                locked.vm_state = states.STOPPED
            _rest(locked)
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, instance.id, at, change))

    async def _stop(self, work: Work, instance: Instance, host: Host) -> None:
        # A paused or suspended guest can't be asked.
        patience = self._ground.options.shutdown_timeout if instance.vm_state == states.ACTIVE else 0
        request = StopInstanceRequest(
            operation_id=work.operation.id, instance=instance, shutdown_timeout=patience
        )
        await self._ground.lifecycle(host).StopInstance(
            request, timeout=self._ground.options.action_timeout + patience
        )

        def change(_connection: Connection, locked: Instance) -> None:
            locked.power_state = OFF

        work.memory["off"] = True
        await self._ground.advance(work, change)

    def _shelved(self, work: Work) -> Callable[[Connection, Instance], None]:
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            locked.system_metadata[SHELVED_AT] = at.isoformat()
            locked.system_metadata[SHELVED_IMAGE] = work.operation.arguments.snapshot.image_id
            locked.system_metadata[SHELVED_HOST] = locked.host
            locked.vm_state = states.SHELVED
            locked.power_state = OFF
            locked.ClearField("fault")
            _rest(locked)
            if self._ground.options.shelved_offload_time == 0:
                locked.task_state = _Task.TASK_STATE_SHELVING_OFFLOADING

        return change


class ShelveOffloadWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def run(self, work: Work) -> None:
        """Give the host up."""
        instance, host = await locate(self._ground, work)
        await offload(self._ground, work, instance, host)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance stays shelved on its host, with the reason in its fault."""
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            _rest(locked)
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))


async def offload(ground: Ground, work: Work, instance: Instance, host: Host) -> None:
    """Remove a shelved guest from its host, and end the operation: the instance holds nothing there any
    more."""
    request = DeleteInstanceRequest(operation_id=work.operation.id, instance=instance)
    await ground.lifecycle(host).DeleteInstance(request, timeout=ground.options.action_timeout)
    await ground.unplug(instance, host)

    def change(connection: Connection, locked: Instance) -> None:
        claims.offload(connection, locked)
        locked.vm_state = states.SHELVED_OFFLOADED
        locked.power_state = OFF
        _rest(locked)

    end = endings.succeeded(work.operation.id, ground.owner, host.name)
    await ground.end(Ending(end, instance.id, now(), change), host=host.name)


def _rest(instance: Instance) -> None:
    """A task that another operation has set since stays."""
    if instance.task_state in _OURS:
        instance.task_state = states.IDLE

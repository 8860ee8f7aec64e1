"""Unshelve: power on where the guest still is; else place and build it from the image that shelving made.
Either way that image is removed then."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from db import hosts, instances
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2 import StartInstanceRequest
from novamesh.errors.v1.errors_pb2 import NotFound
from novamesh.failures import Failure, InvalidArgumentError, NotFoundError, StateConflictError, vm_state_name
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState
from services.conductor import claims, endings, states
from services.conductor.edits import PINNED_ZONE
from services.conductor.endings import Ending, OvertakenError
from services.conductor.placement import REQUESTED_HOST
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import locate
from services.conductor.workflows.building import Building, Plan, told
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import SHELVED_IMAGE, OperationImages
from services.conductor.workflows.shelve import SHELVED_KEYS, from_its_image

_OURS = frozenset(
    {TaskState.TASK_STATE_UNSHELVING, TaskState.TASK_STATE_POWERING_ON, TaskState.TASK_STATE_SPAWNING}
)


def _freely(instance: Instance) -> Instance:
    """A host that it was forced to once says nothing of where it comes back."""
    free = Instance()
    free.CopyFrom(instance)
    free.forced_host = ""
    return free


def _leave(connection: Connection, instance: Instance, at: datetime) -> None:
    claims.offload(connection, instance)
    instance.task_state = TaskState.TASK_STATE_UNSHELVING
    instances.save(connection, instance, at)


_PLAN = Plan(_freely, from_its_image, _leave)


class UnshelveWorkflow:
    """See the module."""

    def __init__(self, ground: Ground, building: Building, images: OperationImages) -> None:
        self._ground = ground
        self._building = building
        self._images = images

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Where it is to come back: only an offloaded instance can be sent somewhere.

        Raises StateConflictError, and InvalidArgumentError for a host that there isn't.
        """
        instance, wanted = asked.instance, asked.operation.arguments.unshelve
        if instance.vm_state != states.SHELVED_OFFLOADED:
            if wanted.availability_zone or wanted.host or wanted.unpin:
                raise _not_offloaded(instance)
            return
        if wanted.unpin:
            instance.system_metadata.pop(PINNED_ZONE, None)
        if wanted.availability_zone:
            instance.system_metadata[PINNED_ZONE] = wanted.availability_zone
        if wanted.host:
            _check_host(connection, wanted.host, instance, asked.at)
            asked.memory[REQUESTED_HOST] = wanted.host

    async def run(self, work: Work) -> None:
        """Bring it back, then remove the image, then let go of it."""
        instance, host = await self._ground.read(work.operation.instance_id)
        if instance.vm_state == states.DELETED:
            raise OvertakenError()
        if instance.vm_state == states.SHELVED:
            instance = await self._power_on(work)
        elif instance.vm_state == states.SHELVED_OFFLOADED:
            image_id = instance.system_metadata.get(SHELVED_IMAGE, "")
            if host is None and (not image_id or await self._images.find(image_id) is None):
                raise _image_gone(image_id)
            built = await self._building.somewhere(work, instance, host, _PLAN)
            instance = await self._runs(work, built.answer.power_state, built.answer.launched_at)
        elif instance.vm_state != states.ACTIVE:
            raise StateConflictError(
                "The instance's state was set while it was being unshelved.",
                states.conflict(instance, states.UNSHELVE),
            )
        # It runs, perhaps since an earlier attempt.
        if SHELVED_IMAGE in instance.system_metadata:
            await self._images.remove(instance.system_metadata[SHELVED_IMAGE])

        def change(_connection: Connection, locked: Instance) -> None:
            _forget(locked)

        end = endings.succeeded(work.operation.id, self._ground.owner, instance.host)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """Shelved as before, on no host if it was on none, with the reason in its fault; ERROR when its image
        is gone, since nothing can bring it back then."""
        await self._building.check_held(work)
        instance, host = await self._ground.read(work.operation.instance_id)
        if host is not None and instance.vm_state == states.SHELVED_OFFLOADED:
            await self._building.clear(work, instance, host)
        at = now()
        message, details = told(work, failure)

        def change(connection: Connection, locked: Instance) -> None:
            if locked.vm_state == states.SHELVED_OFFLOADED and locked.host:
                claims.offload(connection, locked)
            if locked.vm_state == states.ACTIVE:
                # Only the image could not be removed.
                _forget(locked)
            elif _is_about_the_image(failure):
                locked.vm_state = states.ERROR
            _rest(locked)
            locked.fault.CopyFrom(endings.fault_of(failure, at, message=message, details=details))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, instance.id, at, change), host=instance.host)

    async def _power_on(self, work: Work) -> Instance:
        instance, host = await locate(self._ground, work)

        def change(_connection: Connection, locked: Instance) -> None:
            locked.task_state = TaskState.TASK_STATE_POWERING_ON

        await self._ground.advance(work, change)
        # The host may have been rebooted meanwhile.
        await self._ground.plug(instance, host)
        request = StartInstanceRequest(operation_id=work.operation.id, instance=instance)
        answer = await self._ground.lifecycle(host).StartInstance(
            request, timeout=self._ground.options.action_timeout
        )
        return await self._runs(work, answer.power_state, None)

    async def _runs(
        self, work: Work, power_state: PowerState.ValueType, launched_at: Timestamp | None
    ) -> Instance:
        def change(_connection: Connection, locked: Instance) -> None:
            locked.vm_state = states.ACTIVE
            locked.power_state = power_state
            if launched_at is not None:
                locked.launched_at.CopyFrom(launched_at)
            locked.progress = 0
            locked.ClearField("fault")

        return await self._ground.advance(work, change)


def _check_host(connection: Connection, name: str, instance: Instance, at: datetime) -> None:
    try:
        host = hosts.get(connection, name, at)
    except NotFoundError:
        raise InvalidArgumentError("host", f"Compute host {name} could not be found.") from None
    pinned = instance.system_metadata.get(PINNED_ZONE, "")
    if pinned and host.availability_zone != pinned:
        raise StateConflictError(
            f'Host "{name}" is not in the availability zone "{pinned}".',
            states.conflict(instance, states.UNSHELVE),
        )


def _not_offloaded(instance: Instance) -> StateConflictError:
    detail = states.conflict(instance, states.UNSHELVE)
    detail.ClearField("allowed_vm_states")
    detail.allowed_vm_states.append(states.SHELVED_OFFLOADED)
    state = vm_state_name(instance.vm_state)
    return StateConflictError(
        f"Specifying an availability zone or a host when unshelving server '{instance.id}' with status "
        f"'{state}' is not supported. The server status must be SHELVED_OFFLOADED.",
        detail,
    )


def _image_gone(image_id: str) -> NotFoundError:
    message = f"Unshelve attempted but the image {image_id} cannot be found."
    return NotFoundError("image", image_id, message)


def _is_about_the_image(failure: Failure) -> bool:
    detail = failure.detail
    return isinstance(detail, NotFound) and detail.resource_type == "image"


def _forget(instance: Instance) -> None:
    """It is a server like others again."""
    for key in SHELVED_KEYS:
        instance.system_metadata.pop(key, None)
    _rest(instance)


def _rest(instance: Instance) -> None:
    """A task that another operation has set since stays."""
    if instance.task_state in _OURS:
        instance.task_state = states.IDLE

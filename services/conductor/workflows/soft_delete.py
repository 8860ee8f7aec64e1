"""Soft delete and restore: the guest is powered off and kept, or powered on again.

An instance that was soft-deleted on no host (it was shelved and offloaded) has no guest: only its record
changes.
"""

from db.database import Connection
from db.operations import Work
from db.schema.base import now, timestamp
from novamesh.compute.v1.lifecycle_service_pb2 import StartInstanceRequest, StopInstanceRequest
from novamesh.failures import Failure
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from services.conductor import endings, limits, moves, states
from services.conductor.endings import Ending, OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.limits import Owner
from services.conductor.preparation import Preparation
from services.conductor.workflows.ground import Ground

OFF = PowerState.POWER_STATE_SHUTDOWN


class SoftDeleteWorkflow:
    """Power off, keep."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def run(self, work: Work) -> None:
        """SOFT_DELETED, the guest off, its place in the quota free."""
        instance, host = await _where(self._ground, work)
        power_state = OFF
        if host is not None:
            request = StopInstanceRequest(operation_id=work.operation.id, instance=instance)
            answer = await self._ground.lifecycle(host).StopInstance(
                request, timeout=self._ground.options.action_timeout
            )
            power_state = answer.power_state
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            if locked.vm_state != states.SOFT_DELETED:
                limits.give_back(connection, Owner(locked.project_id, locked.user_id), locked.flavor, 1)
            endings.reach(locked, states.SOFT_DELETE, power_state)
            locked.soft_deleted_at.CopyFrom(timestamp(at))

        end = endings.succeeded(work.operation.id, self._ground.owner, instance.host)
        await self._ground.end(Ending(end, instance.id, at, change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance is as it was, with the reason in its fault."""
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            if locked.task_state == states.SOFT_DELETE.task_state:
                locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))


class RestoreWorkflow:
    """Power on."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Count it against the quota again. Raises QuotaExceededError."""
        owner = Owner(asked.instance.project_id, asked.instance.user_id)
        limits.take_instances(connection, owner, asked.instance.flavor, (1, 1), asked.quota)

    async def run(self, work: Work) -> None:
        """ACTIVE, or RESIZED, the guest on."""
        instance, host = await _where(self._ground, work)
        power_state, result = PowerState.POWER_STATE_UNSPECIFIED, states.SHELVED_OFFLOADED
        if host is not None:
            await self._ground.plug(instance, host)
            request = StartInstanceRequest(operation_id=work.operation.id, instance=instance)
            answer = await self._ground.lifecycle(host).StartInstance(
                request, timeout=self._ground.options.action_timeout
            )
            power_state, result = answer.power_state, states.ACTIVE

        def change(connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.RESTORE, power_state)
            locked.vm_state = result
            if moves.waits(connection, locked):
                # The delete came while it was resized: the resize is still to be confirmed or reverted.
                locked.vm_state = states.RESIZED
            locked.ClearField("soft_deleted_at")
            locked.ClearField("fault")

        end = endings.succeeded(work.operation.id, self._ground.owner, instance.host)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """It stays SOFT_DELETED, with the reason in its fault, and its place in the quota is free again."""
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            if locked.vm_state == states.SOFT_DELETED:
                limits.give_back(connection, Owner(locked.project_id, locked.user_id), locked.flavor, 1)
            if locked.task_state == states.RESTORE.task_state:
                locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))


async def _where(ground: Ground, work: Work) -> tuple[Instance, Host | None]:
    """The instance and its host, which is up; None for one on no host.

    Raises HostDownError, OvertakenError.
    """
    instance, host = await ground.read(work.operation.instance_id)
    if instance.vm_state == states.DELETED:
        raise OvertakenError()
    if instance.host and (host is None or not host.up):
        raise HostDownError(instance.host)
    work.operation.host = instance.host
    return instance, host

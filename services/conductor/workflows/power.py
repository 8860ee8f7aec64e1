"""Start, stop, reboot, pause, unpause, suspend, resume: one call to the host, then the state that the table
names."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2 import (
    PauseInstanceRequest,
    RebootInstanceRequest,
    ResumeInstanceRequest,
    StartInstanceRequest,
    StopInstanceRequest,
    SuspendInstanceRequest,
    UnpauseInstanceRequest,
)
from novamesh.failures import Failure, NotFoundError
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from services.conductor import endings, states
from services.conductor.endings import Ending, OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.workflows.ground import Ground

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceAsyncStub

Call = Callable[["LifecycleServiceAsyncStub", Operation, Instance, float], Awaitable[PowerState.ValueType]]


def calls(shutdown_timeout: int) -> dict[OperationKind.ValueType, Call]:
    """The call that each kind makes, and the power state that comes back."""

    async def start(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = StartInstanceRequest(operation_id=operation.id, instance=instance)
        return (await stub.StartInstance(request, timeout=timeout)).power_state

    async def stop(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = StopInstanceRequest(
            operation_id=operation.id, instance=instance, shutdown_timeout=shutdown_timeout
        )
        return (await stub.StopInstance(request, timeout=timeout + shutdown_timeout)).power_state

    async def reboot(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = RebootInstanceRequest(
            operation_id=operation.id, instance=instance, type=operation.arguments.reboot_type
        )
        return (await stub.RebootInstance(request, timeout=timeout + shutdown_timeout)).power_state

    async def pause(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = PauseInstanceRequest(operation_id=operation.id, instance=instance)
        return (await stub.PauseInstance(request, timeout=timeout)).power_state

    async def unpause(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = UnpauseInstanceRequest(operation_id=operation.id, instance=instance)
        return (await stub.UnpauseInstance(request, timeout=timeout)).power_state

    async def suspend(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = SuspendInstanceRequest(operation_id=operation.id, instance=instance)
        return (await stub.SuspendInstance(request, timeout=timeout)).power_state

    async def resume(
        stub: "LifecycleServiceAsyncStub", operation: Operation, instance: Instance, timeout: float
    ) -> PowerState.ValueType:
        request = ResumeInstanceRequest(operation_id=operation.id, instance=instance)
        return (await stub.ResumeInstance(request, timeout=timeout)).power_state

    return {
        OperationKind.OPERATION_KIND_START: start,
        OperationKind.OPERATION_KIND_STOP: stop,
        OperationKind.OPERATION_KIND_REBOOT: reboot,
        OperationKind.OPERATION_KIND_PAUSE: pause,
        OperationKind.OPERATION_KIND_UNPAUSE: unpause,
        OperationKind.OPERATION_KIND_SUSPEND: suspend,
        OperationKind.OPERATION_KIND_RESUME: resume,
    }


# The host's network must be ready before a guest runs again: the host may have been rebooted.
_NEEDS_NETWORK = frozenset(
    {
        OperationKind.OPERATION_KIND_START,
        OperationKind.OPERATION_KIND_REBOOT,
        OperationKind.OPERATION_KIND_RESUME,
    }
)


class PowerWorkflow:
    """See the module. One object serves all these kinds."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._calls = calls(ground.options.shutdown_timeout)

    async def run(self, work: Work) -> None:
        """Do it on the instance's host."""
        operation = work.operation
        instance, host = await self._ground.read(operation.instance_id)
        move = states.move_of(operation.kind, operation.arguments)
        if move is None or instance.vm_state == states.DELETED:
            raise OvertakenError()
        if host is None:
            raise NotFoundError("host", instance.host, f"Instance {instance.id} is on no host.")
        operation.host = host.name
        if not host.up:
            raise HostDownError(host.name)
        if operation.kind in _NEEDS_NETWORK:
            await self._ground.plug(instance, host)
        call = self._calls[operation.kind]
        stub = self._ground.lifecycle(host)
        power_state = await call(stub, operation, instance, self._ground.options.action_timeout)

        def change(_connection: Connection, locked: Instance) -> None:
            endings.reach(locked, move, power_state)
            locked.ClearField("fault")

        end = endings.succeeded(operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance is as it was, as far as anybody knows, with the reason in its fault."""
        operation = work.operation
        at = now()
        move = states.move_of(operation.kind, operation.arguments)

        def change(_connection: Connection, locked: Instance) -> None:
            if move is not None and locked.task_state == move.task_state:
                locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(operation.id, self._ground.owner, failure, operation.host)
        await self._ground.end(Ending(end, operation.instance_id, at, change))

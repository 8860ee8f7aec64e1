"""LifecycleService: the ledger's operations on the guests of this host."""

from collections.abc import Awaitable, Callable

from google.protobuf.timestamp_pb2 import Timestamp

from novamesh.compute.v1 import lifecycle_service_pb2 as pb
from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.instance_pb2 import TASK_STATE_DELETING, PowerState
from services.compute.guests import Guests, root_device_name
from services.compute.operations import OperationRequest, OperationRunner
from services.compute.power_states import PowerStateReporter
from services.compute.progress import ProgressReporter
from services.compute.work import WorkTable
from services.mesh import Call, Node


class LifecycleServicer:
    """Each rpc is one method of Guests, run by the work table."""

    def __init__(self, node: Node, guests: Guests, work: WorkTable, reporter: PowerStateReporter) -> None:
        self._node = node
        self._guests = guests
        self._work = work
        self._operations = OperationRunner(work)
        self._reporter = reporter

    async def BuildInstance(self, request: pb.BuildInstanceRequest, call: Call) -> pb.BuildInstanceResponse:
        """See LifecycleService.BuildInstance."""
        instance = request.instance
        if instance.host and instance.host != self._node.identity.host:
            raise InvalidArgumentError(
                "instance.host", f"Instance {instance.id} belongs on {instance.host}, not here."
            )

        async def build() -> pb.BuildInstanceResponse:
            with ProgressReporter(self._node, request.operation_id) as progress:
                state = await self._guests.build(instance, progress)
            self._reporter.told(instance.id, state)
            launched_at = Timestamp()
            launched_at.GetCurrentTime()
            return pb.BuildInstanceResponse(
                power_state=state, launched_at=launched_at, root_device_name=root_device_name(instance)
            )

        return await self._operations.run(request, call, build)

    async def DeleteInstance(
        self, request: pb.DeleteInstanceRequest, call: Call
    ) -> pb.DeleteInstanceResponse:
        """See LifecycleService.DeleteInstance."""
        instance = request.instance
        # The user's delete, and not the clean-up of a build: nothing may bring this guest back.
        for_good = bool(request.operation_id) and instance.task_state == TASK_STATE_DELETING
        if for_good:
            self._work.close(instance.id)

        async def delete() -> pb.DeleteInstanceResponse:
            try:
                await self._guests.destroy(instance)
            except Exception:
                # Nobody here knows whether another attempt comes. If so, it closes the entry again.
                if for_good:
                    self._work.open(instance.id)
                raise
            self._reporter.forget(instance.id)
            return pb.DeleteInstanceResponse()

        return await self._operations.run_last(request, call, delete)

    async def StartInstance(self, request: pb.StartInstanceRequest, call: Call) -> pb.StartInstanceResponse:
        """See LifecycleService.StartInstance."""
        state = await self._move(request, call, lambda: self._guests.power_on(request.instance))
        return pb.StartInstanceResponse(power_state=state)

    async def StopInstance(self, request: pb.StopInstanceRequest, call: Call) -> pb.StopInstanceResponse:
        """See LifecycleService.StopInstance."""
        timeout = float(request.shutdown_timeout)
        state = await self._move(request, call, lambda: self._guests.power_off(request.instance, timeout))
        return pb.StopInstanceResponse(power_state=state)

    async def RebootInstance(
        self, request: pb.RebootInstanceRequest, call: Call
    ) -> pb.RebootInstanceResponse:
        """See LifecycleService.RebootInstance."""
        state = await self._move(request, call, lambda: self._guests.reboot(request.instance, request.type))
        return pb.RebootInstanceResponse(power_state=state)

    async def PauseInstance(self, request: pb.PauseInstanceRequest, call: Call) -> pb.PauseInstanceResponse:
        """See LifecycleService.PauseInstance."""
        state = await self._move(request, call, lambda: self._guests.pause(request.instance))
        return pb.PauseInstanceResponse(power_state=state)

    async def UnpauseInstance(
        self, request: pb.UnpauseInstanceRequest, call: Call
    ) -> pb.UnpauseInstanceResponse:
        """See LifecycleService.UnpauseInstance."""
        state = await self._move(request, call, lambda: self._guests.unpause(request.instance))
        return pb.UnpauseInstanceResponse(power_state=state)

    async def SuspendInstance(
        self, request: pb.SuspendInstanceRequest, call: Call
    ) -> pb.SuspendInstanceResponse:
        """See LifecycleService.SuspendInstance."""
        state = await self._move(request, call, lambda: self._guests.suspend(request.instance))
        return pb.SuspendInstanceResponse(power_state=state)

    async def ResumeInstance(
        self, request: pb.ResumeInstanceRequest, call: Call
    ) -> pb.ResumeInstanceResponse:
        """See LifecycleService.ResumeInstance."""
        state = await self._move(request, call, lambda: self._guests.resume(request.instance))
        return pb.ResumeInstanceResponse(power_state=state)

    async def _move(
        self, request: OperationRequest, call: Call, work: Callable[[], Awaitable[PowerState.ValueType]]
    ) -> PowerState.ValueType:
        async def move() -> PowerState.ValueType:
            state = await work()
            self._reporter.told(request.instance.id, state)
            return state

        return await self._operations.run(request, call, move)

"""GuestService: what else is done to the guests of this host, beside their lives."""

from collections.abc import Awaitable, Callable

from drivers.virt import Boot, GuestAgent, Progress, Rescue
from drivers.virt.guest_protocols import GuestDiagnostics, Nmi, Rebuild
from novamesh.compute.v1 import guest_service_pb2 as pb
from novamesh.failures import NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from services.compute.guests import Guests, root_device_name
from services.compute.operations import OperationRequest, OperationRunner
from services.compute.power_states import PowerStateReporter
from services.compute.progress import ProgressReporter
from services.compute.work import WorkTable
from services.mesh import Call, Node


class GuestServicer:
    """Each rpc is one method of the driver, where it has the ability."""

    def __init__(self, node: Node, guests: Guests, work: WorkTable, reporter: PowerStateReporter) -> None:
        self._node = node
        self._guests = guests
        self._driver = guests.driver
        self._operations = OperationRunner(work)
        self._reporter = reporter

    async def RebuildInstance(
        self, request: pb.RebuildInstanceRequest, call: Call
    ) -> pb.RebuildInstanceResponse:
        """See GuestService.RebuildInstance."""
        driver = self._driver
        if not isinstance(driver, Rebuild):
            raise self._unable("rebuild")

        async def work(progress: Progress) -> None:
            await driver.rebuild(
                request.instance,
                Boot(await self._guests.config_drive(request.instance), progress),
                power_on=request.power_on,
                preserve_ephemeral=request.preserve_ephemeral,
            )

        state = await self._boot(request, call, work)
        return pb.RebuildInstanceResponse(
            power_state=state, root_device_name=root_device_name(request.instance)
        )

    async def RescueInstance(
        self, request: pb.RescueInstanceRequest, call: Call
    ) -> pb.RescueInstanceResponse:
        """See GuestService.RescueInstance."""
        driver = self._driver
        if not isinstance(driver, Rescue):
            raise self._unable("rescue")

        async def work(progress: Progress) -> None:
            boot = Boot(progress=progress)
            await driver.rescue(request.instance, request.rescue, boot, request.shutdown_timeout)

        return pb.RescueInstanceResponse(power_state=await self._boot(request, call, work))

    async def UnrescueInstance(
        self, request: pb.UnrescueInstanceRequest, call: Call
    ) -> pb.UnrescueInstanceResponse:
        """See GuestService.UnrescueInstance."""
        driver = self._driver
        if not isinstance(driver, Rescue):
            raise self._unable("rescue")

        async def unrescue() -> pb.UnrescueInstanceResponse:
            await driver.unrescue(request.instance)
            return pb.UnrescueInstanceResponse(power_state=await self._told(request.instance))

        return await self._operations.run(request, call, unrescue)

    async def SetAdminPassword(
        self, request: pb.SetAdminPasswordRequest, call: Call
    ) -> pb.SetAdminPasswordResponse:
        """See GuestService.SetAdminPassword."""
        driver = self._driver
        if not isinstance(driver, GuestAgent):
            raise self._unable("guest_agent")

        async def set_password() -> pb.SetAdminPasswordResponse:
            await driver.set_admin_password(request.instance, request.password)
            return pb.SetAdminPasswordResponse()

        return await self._operations.run(request, call, set_password)

    async def InjectNmi(self, request: pb.InjectNmiRequest, call: Call) -> pb.InjectNmiResponse:
        """See GuestService.InjectNmi."""
        driver = self._driver
        if not isinstance(driver, Nmi):
            raise self._unable("nmi")

        async def inject() -> pb.InjectNmiResponse:
            await driver.inject_nmi(request.instance)
            return pb.InjectNmiResponse()

        return await self._operations.run(request, call, inject)

    async def GetDiagnostics(
        self, request: pb.GetDiagnosticsRequest, call: Call
    ) -> pb.GetDiagnosticsResponse:
        """See GuestService.GetDiagnostics."""
        driver = self._driver
        if not isinstance(driver, GuestDiagnostics):
            raise self._unable("diagnostics")
        return pb.GetDiagnosticsResponse(diagnostics=await driver.diagnostics(request.instance_id))

    async def _boot(
        self, request: OperationRequest, call: Call, work: Callable[[Progress], Awaitable[None]]
    ) -> PowerState.ValueType:
        """Run what makes disks, and tell of its progress."""

        async def boot() -> PowerState.ValueType:
            with ProgressReporter(self._node, request.operation_id) as progress:
                await work(progress)
            return await self._told(request.instance)

        return await self._operations.run(request, call, boot)

    async def _told(self, instance: Instance) -> PowerState.ValueType:
        """The guest's power state, which the conductor gets in the answer."""
        state = await self._driver.power_state(instance.id)
        self._reporter.told(instance.id, state)
        return state

    def _unable(self, ability: str) -> NotSupportedError:
        return NotSupportedError(ability, f"The {self._driver.name} driver can't do this ({ability}).")

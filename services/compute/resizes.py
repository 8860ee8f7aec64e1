"""ResizeService: guests of this host that get another size, leave for another host or come from one."""

from drivers.virt import Driver
from drivers.virt.moves import ColdMigration, Resize, in_place
from novamesh.compute.v1 import resize_service_pb2 as pb
from novamesh.failures import InvalidArgumentError, NotSupportedError
from novamesh.types.v1.instance_pb2 import PowerState
from novamesh.types.v1.migration_pb2 import Migration
from services.compute.operations import OperationRunner
from services.compute.power_states import PowerStateReporter
from services.compute.work import WorkTable
from services.mesh import Call, Node


class ResizeServicer:
    """Each rpc is one method of the driver, run by the work table."""

    def __init__(self, node: Node, driver: Driver, work: WorkTable, reporter: PowerStateReporter) -> None:
        self._node = node
        self._driver = driver
        self._operations = OperationRunner(work)
        self._reporter = reporter

    async def MigrateDisks(self, request: pb.MigrateDisksRequest, call: Call) -> pb.MigrateDisksResponse:
        """See ResizeService.MigrateDisks."""
        instance, migration = request.instance, request.migration
        self._check_host(migration.source_compute, "source_compute")
        resizer, sender = self._resizer(), self._sender(migration)

        async def migrate() -> pb.MigrateDisksResponse:
            await resizer.migrate_disks(instance, migration, float(request.shutdown_timeout))
            if sender is not None:
                await sender.send_disks(instance, migration, request.destination_address)
            self._reporter.forget(instance.id)
            return pb.MigrateDisksResponse()

        return await self._operations.run(request, call, migrate)

    async def FinishResize(self, request: pb.FinishResizeRequest, call: Call) -> pb.FinishResizeResponse:
        """See ResizeService.FinishResize."""
        instance, migration = request.instance, request.migration
        self._check_host(migration.dest_compute, "dest_compute")
        resizer = self._resizer()

        async def finish() -> pb.FinishResizeResponse:
            await resizer.finish_resize(instance, migration, power_on=request.power_on)
            return pb.FinishResizeResponse(power_state=await self._told(instance.id))

        return await self._operations.run(request, call, finish)

    async def ConfirmResize(self, request: pb.ConfirmResizeRequest, call: Call) -> pb.ConfirmResizeResponse:
        """See ResizeService.ConfirmResize."""
        self._check_host(request.migration.source_compute, "source_compute")
        resizer = self._resizer()

        async def confirm() -> pb.ConfirmResizeResponse:
            await resizer.confirm_resize(request.instance, request.migration)
            return pb.ConfirmResizeResponse()

        return await self._operations.run(request, call, confirm)

    async def RevertResize(self, request: pb.RevertResizeRequest, call: Call) -> pb.RevertResizeResponse:
        """See ResizeService.RevertResize. A finish that is under way is stopped first."""
        self._check_host(request.migration.dest_compute, "dest_compute")
        resizer = self._resizer()

        async def revert() -> pb.RevertResizeResponse:
            await resizer.revert_resize(request.instance, request.migration)
            self._reporter.forget(request.instance.id)
            return pb.RevertResizeResponse()

        return await self._operations.run_last(request, call, revert)

    async def FinishRevert(self, request: pb.FinishRevertRequest, call: Call) -> pb.FinishRevertResponse:
        """See ResizeService.FinishRevert."""
        instance, migration = request.instance, request.migration
        self._check_host(migration.source_compute, "source_compute")
        resizer = self._resizer()

        async def finish() -> pb.FinishRevertResponse:
            await resizer.finish_revert(instance, migration, power_on=request.power_on)
            return pb.FinishRevertResponse(power_state=await self._told(instance.id))

        return await self._operations.run(request, call, finish)

    async def _told(self, instance_id: str) -> PowerState.ValueType:
        """What the guest is now, which the conductor learns from this call's answer."""
        state = await self._driver.power_state(instance_id)
        self._reporter.told(instance_id, state)
        return state

    def _check_host(self, name: str, field: str) -> None:
        if name != self._node.identity.host:
            raise InvalidArgumentError(f"migration.{field}", f"The migration names {name}, not this host.")

    def _resizer(self) -> Resize:
        if not isinstance(self._driver, Resize):
            raise NotSupportedError("resize", f"The {self._driver.name} driver can't resize guests.")
        return self._driver

    def _sender(self, migration: Migration) -> ColdMigration | None:
        """Who sends the disks; None when they stay here. Raises NotSupportedError before anything is done."""
        if in_place(migration):
            return None
        if not isinstance(self._driver, ColdMigration):
            raise NotSupportedError(
                "cold_migration",
                f"The {self._driver.name} driver can't move guests that are off to another host.",
            )
        return self._driver

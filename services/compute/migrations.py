"""MigrationService: guests that come from another host, or leave for one, while they run."""

from drivers.virt import Driver
from drivers.virt.live_migration import Destination, LiveMigration, MigrationCheck
from novamesh.compute.v1 import migration_service_pb2 as pb
from novamesh.failures import NotSupportedError
from services.compute.operations import OperationRunner
from services.compute.power_states import PowerStateReporter
from services.compute.work import WorkTable
from services.mesh import Call

_COPY, _SHARED = pb.DISK_MIGRATION_COPY, pb.DISK_MIGRATION_SHARED
_WANTED = {_COPY: True, _SHARED: False}


class MigrationServicer:
    """Each rpc is one method of the driver. Those about a sending that is under way don't wait for it."""

    def __init__(self, driver: Driver, work: WorkTable, reporter: PowerStateReporter) -> None:
        self._driver = driver
        self._operations = OperationRunner(work)
        self._reporter = reporter

    async def CheckMigration(
        self, request: pb.CheckMigrationRequest, call: Call
    ) -> pb.CheckMigrationResponse:
        """See MigrationService.CheckMigration."""
        wanted = MigrationCheck(request.source_cpu_info, _WANTED.get(request.disks), request.disk_over_commit)
        copied = await self._migrator().check_migration(request.instance, wanted)
        return pb.CheckMigrationResponse(disks=_COPY if copied else _SHARED)

    async def PrepareMigration(
        self, request: pb.PrepareMigrationRequest, call: Call
    ) -> pb.PrepareMigrationResponse:
        """See MigrationService.PrepareMigration."""
        migrator = self._migrator()

        async def prepare() -> pb.PrepareMigrationResponse:
            ready = await migrator.prepare_migration(request.instance, copy_disks=request.disks == _COPY)
            return pb.PrepareMigrationResponse(
                destination_uri=ready.uri,
                console_address=ready.console_address,
                driver_data_json=ready.driver_data,
            )

        return await self._operations.run(request, call, prepare)

    async def MigrateInstance(
        self, request: pb.MigrateInstanceRequest, call: Call
    ) -> pb.MigrateInstanceResponse:
        """See MigrationService.MigrateInstance."""
        migrator, told = self._migrator(), request.destination
        destination = Destination(
            told.destination_uri, request.disks == _COPY, told.console_address, told.driver_data_json
        )

        async def migrate() -> pb.MigrateInstanceResponse:
            downtime = await migrator.migrate_live(request.instance, destination)
            # The guest is the destination's now, which tells what becomes of it.
            self._reporter.forget(request.instance.id)
            return pb.MigrateInstanceResponse(downtime_ms=downtime)

        return await self._operations.run(request, call, migrate)

    async def GetMigrationProgress(
        self, request: pb.GetMigrationProgressRequest, call: Call
    ) -> pb.GetMigrationProgressResponse:
        """See MigrationService.GetMigrationProgress."""
        progress = await self._migrator().migration_progress(request.instance_id)
        return pb.GetMigrationProgressResponse(
            memory_total_bytes=progress.memory_total,
            memory_processed_bytes=progress.memory_processed,
            memory_remaining_bytes=progress.memory_remaining,
            disk_total_bytes=progress.disk_total,
            disk_processed_bytes=progress.disk_processed,
            disk_remaining_bytes=progress.disk_remaining,
        )

    async def ForceMigration(
        self, request: pb.ForceMigrationRequest, call: Call
    ) -> pb.ForceMigrationResponse:
        """See MigrationService.ForceMigration."""
        await self._migrator().force_migration(request.instance_id)
        return pb.ForceMigrationResponse()

    async def AbortMigration(
        self, request: pb.AbortMigrationRequest, call: Call
    ) -> pb.AbortMigrationResponse:
        """See MigrationService.AbortMigration."""
        await self._migrator().abort_migration(request.instance_id)
        return pb.AbortMigrationResponse()

    async def FinishMigration(
        self, request: pb.FinishMigrationRequest, call: Call
    ) -> pb.FinishMigrationResponse:
        """See MigrationService.FinishMigration."""
        migrator, instance = self._migrator(), request.instance

        async def finish() -> pb.FinishMigrationResponse:
            await migrator.finish_migration(instance)
            state = await self._driver.power_state(instance.id)
            self._reporter.told(instance.id, state)
            return pb.FinishMigrationResponse(power_state=state)

        return await self._operations.run(request, call, finish)

    async def CleanMigration(
        self, request: pb.CleanMigrationRequest, call: Call
    ) -> pb.CleanMigrationResponse:
        """See MigrationService.CleanMigration."""
        migrator = self._migrator()

        async def clean() -> pb.CleanMigrationResponse:
            await migrator.clean_migration(request.instance, remove_disks=request.remove_disks)
            self._reporter.forget(request.instance.id)
            return pb.CleanMigrationResponse()

        return await self._operations.run(request, call, clean)

    async def RollBackMigration(
        self, request: pb.RollBackMigrationRequest, call: Call
    ) -> pb.RollBackMigrationResponse:
        """See MigrationService.RollBackMigration. What is being made ready is stopped first."""
        migrator = self._migrator()

        async def roll_back() -> pb.RollBackMigrationResponse:
            await migrator.roll_back_migration(request.instance, remove_disks=request.remove_disks)
            self._reporter.forget(request.instance.id)
            return pb.RollBackMigrationResponse()

        return await self._operations.run_last(request, call, roll_back)

    def _migrator(self) -> LiveMigration:
        if not isinstance(self._driver, LiveMigration):
            raise NotSupportedError(
                "live_migration", f"The {self._driver.name} driver can't migrate guests that run."
            )
        return self._driver

"""A driver that is a compute role with a driver in it, reached over mutual TLS.

It holds the role to the suite that its driver has passed: idempotent, nothing
left over, the same failures, whatever is between.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from drivers.virt import (
    Boot,
    ConsoleEndpoint,
    ConsoleKind,
    Driver,
    GuestState,
    PowerChange,
    Progress,
    no_progress,
)
from drivers.virt.live_migration import Destination, MigrationCheck, MigrationProgress
from drivers.virt.moves import Resize
from drivers.virt.protocols import Snapshot
from novamesh.compute.v1 import console_service_pb2 as consoles
from novamesh.compute.v1 import guest_service_pb2 as guests
from novamesh.compute.v1 import host_service_pb2 as hosts
from novamesh.compute.v1 import lifecycle_service_pb2 as pb
from novamesh.compute.v1 import migration_service_pb2 as migrations
from novamesh.compute.v1 import resize_service_pb2 as resizes
from novamesh.compute.v1 import snapshot_service_pb2 as snapshots
from novamesh.compute.v1.guest_service_pb2_grpc import GuestServiceStub
from novamesh.compute.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.compute.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.compute.v1.resize_service_pb2_grpc import ResizeServiceStub
from novamesh.compute.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from novamesh.failures import NotFoundError
from novamesh.types.v1.diagnostics_pb2 import Diagnostics
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.operation_pb2 import RebootType, RescueArguments
from tests.compute_cloud import compute_cloud
from tests.conformance.image_sink import ImageSink

if TYPE_CHECKING:
    from novamesh.compute.v1.console_service_pb2_grpc import ConsoleServiceAsyncStub
    from novamesh.compute.v1.guest_service_pb2_grpc import GuestServiceAsyncStub
    from novamesh.compute.v1.host_service_pb2_grpc import HostServiceAsyncStub
    from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceAsyncStub
    from novamesh.compute.v1.migration_service_pb2_grpc import MigrationServiceAsyncStub
    from novamesh.compute.v1.resize_service_pb2_grpc import ResizeServiceAsyncStub
    from novamesh.compute.v1.snapshot_service_pb2_grpc import SnapshotServiceAsyncStub

PATIENCE = 600.0
_TYPES: dict[ConsoleKind, consoles.ConsoleType.ValueType] = {
    "vnc": consoles.CONSOLE_TYPE_NOVNC,
    "spice": consoles.CONSOLE_TYPE_SPICE_HTML5,
    "serial": consoles.CONSOLE_TYPE_SERIAL,
}


class RoleDriver:
    """Every method is an rpc with an operation id of its own, but for `watch`, which ends in the role."""

    def __init__(self, inner: Driver) -> None:
        self._inner = inner
        self._stack = AsyncExitStack()
        self._lifecycle: LifecycleServiceAsyncStub
        self._console: ConsoleServiceAsyncStub
        self._host: HostServiceAsyncStub
        self._guests: GuestServiceAsyncStub
        # Of the gateway, who alone asks for them.
        self._counters: GuestServiceAsyncStub
        self._resize: ResizeServiceAsyncStub
        self._migration: MigrationServiceAsyncStub
        self._snapshots: SnapshotServiceAsyncStub
        self._images = ImageSink()

    @property
    def name(self) -> str:
        return self._inner.name

    async def start(self) -> None:
        cloud = await self._stack.enter_async_context(compute_cloud(wire=True))
        await cloud.node.serve(self._images.role())
        host = await cloud.host_of(self._inner)
        self._lifecycle = host.lifecycle
        self._console = host.console_as(await cloud.node.peer("gateway"))
        channel = cloud.node.channel_to(host.address, "compute", host.name)
        self._host = HostServiceStub(channel)
        self._guests = GuestServiceStub(channel)
        gateway = await cloud.node.peer("gateway", "gateway2")
        self._counters = GuestServiceStub(gateway.channel_to(host.address, "compute", host.name))
        self._resize = ResizeServiceStub(channel)
        self._migration = MigrationServiceStub(channel)
        self._snapshots = SnapshotServiceStub(channel)

    async def stop(self) -> None:
        await self._stack.aclose()

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        # The role tells the ledger of progress, and only of long steps.
        boot.progress("calling", 0)
        request = pb.BuildInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.BuildInstance(request, timeout=PATIENCE)

    async def destroy(self, instance: Instance) -> None:
        request = pb.DeleteInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.DeleteInstance(request, timeout=PATIENCE)

    async def power_on(self, instance: Instance) -> None:
        request = pb.StartInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.StartInstance(request, timeout=PATIENCE)

    async def power_off(self, instance: Instance, timeout: float = 0) -> None:
        seconds = -int(-timeout // 1)
        request = pb.StopInstanceRequest(operation_id=_new(), instance=instance, shutdown_timeout=seconds)
        await self._lifecycle.StopInstance(request, timeout=PATIENCE)

    async def reboot(
        self, instance: Instance, reboot_type: RebootType.ValueType, timeout: float = 120
    ) -> None:
        request = pb.RebootInstanceRequest(operation_id=_new(), instance=instance, type=reboot_type)
        await self._lifecycle.RebootInstance(request, timeout=PATIENCE)

    async def pause(self, instance: Instance) -> None:
        request = pb.PauseInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.PauseInstance(request, timeout=PATIENCE)

    async def unpause(self, instance: Instance) -> None:
        request = pb.UnpauseInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.UnpauseInstance(request, timeout=PATIENCE)

    async def suspend(self, instance: Instance) -> None:
        request = pb.SuspendInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.SuspendInstance(request, timeout=PATIENCE)

    async def resume(self, instance: Instance) -> None:
        request = pb.ResumeInstanceRequest(operation_id=_new(), instance=instance)
        await self._lifecycle.ResumeInstance(request, timeout=PATIENCE)

    async def migrate_disks(self, instance: Instance, migration: Migration, timeout: float = 0) -> None:
        request = resizes.MigrateDisksRequest(
            operation_id=_new(), instance=instance, migration=migration, shutdown_timeout=-int(-timeout // 1)
        )
        await self._resize.MigrateDisks(request, timeout=PATIENCE)

    async def send_disks(self, instance: Instance, migration: Migration, address: str) -> None:
        """MigrateDisks has sent them."""

    async def finish_resize(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        request = resizes.FinishResizeRequest(
            operation_id=_new(), instance=instance, migration=migration, power_on=power_on
        )
        await self._resize.FinishResize(request, timeout=PATIENCE)

    async def confirm_resize(self, instance: Instance, migration: Migration) -> None:
        request = resizes.ConfirmResizeRequest(operation_id=_new(), instance=instance, migration=migration)
        await self._resize.ConfirmResize(request, timeout=PATIENCE)

    async def revert_resize(self, instance: Instance, migration: Migration) -> None:
        request = resizes.RevertResizeRequest(operation_id=_new(), instance=instance, migration=migration)
        await self._resize.RevertResize(request, timeout=PATIENCE)

    async def finish_revert(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        request = resizes.FinishRevertRequest(
            operation_id=_new(), instance=instance, migration=migration, power_on=power_on
        )
        await self._resize.FinishRevert(request, timeout=PATIENCE)

    async def check_migration(self, instance: Instance, wanted: MigrationCheck) -> bool:
        request = migrations.CheckMigrationRequest(
            operation_id=_new(), instance=instance, source_cpu_info=wanted.source_cpu_info
        )
        answer = await self._migration.CheckMigration(request, timeout=PATIENCE)
        return answer.disks == migrations.DISK_MIGRATION_COPY

    async def prepare_migration(self, instance: Instance, *, copy_disks: bool) -> Destination:
        request = migrations.PrepareMigrationRequest(
            operation_id=_new(), instance=instance, disks=_disks(copy_disks)
        )
        answer = await self._migration.PrepareMigration(request, timeout=PATIENCE)
        return Destination(
            answer.destination_uri, copy_disks, answer.console_address, answer.driver_data_json
        )

    async def migrate_live(self, instance: Instance, destination: Destination) -> int:
        request = migrations.MigrateInstanceRequest(
            operation_id=_new(),
            instance=instance,
            destination=migrations.PrepareMigrationResponse(destination_uri=destination.uri),
            disks=_disks(destination.copy_disks),
        )
        return (await self._migration.MigrateInstance(request, timeout=PATIENCE)).downtime_ms

    async def migration_progress(self, instance_id: str) -> MigrationProgress:
        request = migrations.GetMigrationProgressRequest(instance_id=instance_id)
        answer = await self._migration.GetMigrationProgress(request)
        return MigrationProgress(
            answer.memory_total_bytes, answer.memory_processed_bytes, answer.memory_remaining_bytes
        )

    async def force_migration(self, instance_id: str) -> None:
        request = migrations.ForceMigrationRequest(operation_id=_new(), instance_id=instance_id)
        await self._migration.ForceMigration(request)

    async def abort_migration(self, instance_id: str) -> None:
        request = migrations.AbortMigrationRequest(operation_id=_new(), instance_id=instance_id)
        await self._migration.AbortMigration(request)

    async def finish_migration(self, instance: Instance) -> None:
        request = migrations.FinishMigrationRequest(operation_id=_new(), instance=instance)
        await self._migration.FinishMigration(request, timeout=PATIENCE)

    async def clean_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        request = migrations.CleanMigrationRequest(
            operation_id=_new(), instance=instance, remove_disks=remove_disks
        )
        await self._migration.CleanMigration(request, timeout=PATIENCE)

    async def roll_back_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        request = migrations.RollBackMigrationRequest(
            operation_id=_new(), instance=instance, remove_disks=remove_disks
        )
        await self._migration.RollBackMigration(request, timeout=PATIENCE)

    async def kept_guests(self) -> Sequence[str]:
        assert isinstance(self._inner, Resize)
        return await self._inner.kept_guests()

    async def power_state(self, instance_id: str) -> PowerState.ValueType:
        for guest in await self.instances():
            if guest.instance_id == instance_id:
                return guest.power_state
        raise NotFoundError("instance", instance_id)

    async def rebuild(
        self, instance: Instance, boot: Boot, *, power_on: bool = True, preserve_ephemeral: bool = False
    ) -> None:
        request = guests.RebuildInstanceRequest(
            operation_id=_new(), instance=instance, power_on=power_on, preserve_ephemeral=preserve_ephemeral
        )
        await self._guests.RebuildInstance(request, timeout=PATIENCE)

    async def rescue(
        self, instance: Instance, rescue: RescueArguments, boot: Boot, timeout: float = 0
    ) -> None:
        request = guests.RescueInstanceRequest(
            operation_id=_new(), instance=instance, rescue=rescue, shutdown_timeout=-int(-timeout // 1)
        )
        await self._guests.RescueInstance(request, timeout=PATIENCE)

    async def unrescue(self, instance: Instance) -> None:
        request = guests.UnrescueInstanceRequest(operation_id=_new(), instance=instance)
        await self._guests.UnrescueInstance(request, timeout=PATIENCE)

    async def set_admin_password(self, instance: Instance, password: str) -> None:
        request = guests.SetAdminPasswordRequest(operation_id=_new(), instance=instance, password=password)
        await self._guests.SetAdminPassword(request, timeout=PATIENCE)

    async def inject_nmi(self, instance: Instance) -> None:
        request = guests.InjectNmiRequest(operation_id=_new(), instance=instance)
        await self._guests.InjectNmi(request, timeout=PATIENCE)

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        request = guests.GetDiagnosticsRequest(instance_id=instance_id)
        return (await self._counters.GetDiagnostics(request, timeout=PATIENCE)).diagnostics

    async def take_snapshot(
        self, instance: Instance, snapshot_id: str, progress: Progress = no_progress
    ) -> Snapshot:
        progress("calling", 0)
        request = snapshots.CreateSnapshotRequest(
            operation_id=_new(), instance=instance, image_id=snapshot_id
        )
        taken = await self._snapshots.CreateSnapshot(request, timeout=PATIENCE)
        return Snapshot(taken.size, taken.disk_format, "bare")

    async def read_snapshot(self, instance: Instance, snapshot_id: str) -> AsyncIterator[bytes]:
        request = snapshots.UploadSnapshotRequest(
            operation_id=_new(), instance=instance, image_id=snapshot_id
        )
        await self._snapshots.UploadSnapshot(request, timeout=PATIENCE)
        # Names come again with other guests.
        yield self._images.data.pop(snapshot_id)

    async def drop_snapshot(self, instance: Instance, snapshot_id: str) -> None:
        request = snapshots.CancelSnapshotRequest(
            operation_id=_new(), instance=instance, image_id=snapshot_id
        )
        await self._snapshots.CancelSnapshot(request, timeout=PATIENCE)

    async def inventory(self) -> HostInventory:
        return (await self._host.GetInventory(hosts.GetInventoryRequest())).inventory

    async def instances(self) -> Sequence[GuestState]:
        answer = await self._host.ListGuests(hosts.ListGuestsRequest())
        return [GuestState(guest.instance_id, guest.power_state) for guest in answer.guests]

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        return self._inner.watch(on_change)

    async def console_output(self, instance_id: str, lines: int | None = None) -> bytes:
        request = consoles.GetConsoleOutputRequest(instance_id=instance_id, lines=lines or 0)
        return (await self._console.GetConsoleOutput(request)).output

    async def console_endpoint(self, instance_id: str, kind: ConsoleKind) -> ConsoleEndpoint:
        request = consoles.GetConsoleEndpointRequest(instance_id=instance_id, type=_TYPES[kind])
        answer = await self._console.GetConsoleEndpoint(request)
        return ConsoleEndpoint(kind, answer.host, answer.port, answer.internal_access_path)


def _disks(copied: bool) -> migrations.DiskMigration.ValueType:
    return migrations.DISK_MIGRATION_COPY if copied else migrations.DISK_MIGRATION_SHARED


def _new() -> str:
    return str(uuid.uuid4())

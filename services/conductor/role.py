"""The conductor role: what it serves, and the loops that it runs."""

import asyncio
import contextvars
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from importlib.metadata import PackageNotFoundError, version

import structlog

from db import aggregates
from db.database import Database
from db.schema.base import now, timestamp
from novamesh.conductor.v1 import (
    aggregate_service_pb2,
    flavor_service_pb2,
    guest_service_pb2,
    host_service_pb2,
    image_member_service_pb2,
    image_service_pb2,
    instance_service_pb2,
    keypair_service_pb2,
    migration_service_pb2,
    network_service_pb2,
    node_service_pb2,
    operation_service_pb2,
    password_service_pb2,
    quota_service_pb2,
    server_group_service_pb2,
    usage_service_pb2,
)
from novamesh.conductor.v1.node_service_pb2 import Node as NodeRecord
from novamesh.failures import Failure
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor.aggregates import AggregateServicer
from services.conductor.feed import Feeds
from services.conductor.flavors import FlavorServicer
from services.conductor.guests import GuestServicer
from services.conductor.hearing import Hearing
from services.conductor.heartbeats import Heartbeats
from services.conductor.hosts import HostServicer
from services.conductor.identity import identity_bindings
from services.conductor.image_caching import ImageCaching
from services.conductor.image_members import ImageMemberServicer
from services.conductor.images import ImageServicer
from services.conductor.instances import InstanceServicer
from services.conductor.keypairs import KeypairServicer
from services.conductor.ledger import Ledger, Workflow
from services.conductor.migrations import MigrationServicer
from services.conductor.networks import NetworkServicer
from services.conductor.nodes import NodeServicer
from services.conductor.operations import OperationServicer
from services.conductor.options import ConductorOptions
from services.conductor.others import Others
from services.conductor.passwords import PasswordServicer
from services.conductor.placement import Placer
from services.conductor.progress import ProgressBook
from services.conductor.quotas import QuotaServicer
from services.conductor.resize_confirmations import ResizeConfirmer
from services.conductor.server_groups import ServerGroupServicer
from services.conductor.shelving import Offloader
from services.conductor.soft_deletes import Reclaimer
from services.conductor.usage import UsageServicer
from services.conductor.usage_audit import UsageAuditor
from services.conductor.workflows.building import Building
from services.conductor.workflows.confirm_resize import ConfirmResizeWorkflow
from services.conductor.workflows.crash_dump import CrashDumpWorkflow
from services.conductor.workflows.create import CreateWorkflow
from services.conductor.workflows.delete import DeleteWorkflow
from services.conductor.workflows.evacuate import EvacuateWorkflow
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import OperationImages
from services.conductor.workflows.live_migrate import LiveMigrateWorkflow
from services.conductor.workflows.password import PasswordWorkflow
from services.conductor.workflows.power import PowerWorkflow
from services.conductor.workflows.rebuild import RebuildWorkflow
from services.conductor.workflows.rescue import RescueWorkflow, UnrescueWorkflow
from services.conductor.workflows.resize import ResizeWorkflow
from services.conductor.workflows.revert_resize import RevertResizeWorkflow
from services.conductor.workflows.shelve import ShelveOffloadWorkflow, ShelveWorkflow
from services.conductor.workflows.snapshot import SnapshotWorkflow
from services.conductor.workflows.soft_delete import RestoreWorkflow, SoftDeleteWorkflow
from services.conductor.workflows.unshelve import UnshelveWorkflow
from services.mesh import Binding, Node

log = structlog.get_logger("novamesh.conductor")

# Seconds between writes of heartbeats and progress.
FLUSH_INTERVAL = 1.0


def _version() -> str:
    try:
        return version("novamesh")
    except PackageNotFoundError:
        return "unknown"


def _workflows(
    ground: Ground, placer: Placer, passwords: PasswordWorkflow
) -> dict[OperationKind.ValueType, Workflow]:
    power, resize = PowerWorkflow(ground), ResizeWorkflow(ground)
    building, images = Building(ground, placer), OperationImages(ground)
    snapshot = SnapshotWorkflow(ground, images)
    return {
        OperationKind.OPERATION_KIND_CREATE: CreateWorkflow(ground, building),
        OperationKind.OPERATION_KIND_DELETE: DeleteWorkflow(ground, images),
        OperationKind.OPERATION_KIND_START: power,
        OperationKind.OPERATION_KIND_STOP: power,
        OperationKind.OPERATION_KIND_REBOOT: power,
        OperationKind.OPERATION_KIND_PAUSE: power,
        OperationKind.OPERATION_KIND_UNPAUSE: power,
        OperationKind.OPERATION_KIND_SUSPEND: power,
        OperationKind.OPERATION_KIND_RESUME: power,
        OperationKind.OPERATION_KIND_RESIZE: resize,
        OperationKind.OPERATION_KIND_MIGRATE: resize,
        OperationKind.OPERATION_KIND_CONFIRM_RESIZE: ConfirmResizeWorkflow(ground),
        OperationKind.OPERATION_KIND_REVERT_RESIZE: RevertResizeWorkflow(ground),
        OperationKind.OPERATION_KIND_REBUILD: RebuildWorkflow(ground),
        OperationKind.OPERATION_KIND_RESCUE: RescueWorkflow(ground),
        OperationKind.OPERATION_KIND_UNRESCUE: UnrescueWorkflow(ground),
        OperationKind.OPERATION_KIND_CHANGE_PASSWORD: passwords,
        OperationKind.OPERATION_KIND_TRIGGER_CRASH_DUMP: CrashDumpWorkflow(ground),
        OperationKind.OPERATION_KIND_LIVE_MIGRATE: LiveMigrateWorkflow(ground),
        OperationKind.OPERATION_KIND_EVACUATE: EvacuateWorkflow(ground, images),
        OperationKind.OPERATION_KIND_SOFT_DELETE: SoftDeleteWorkflow(ground),
        OperationKind.OPERATION_KIND_RESTORE: RestoreWorkflow(ground),
        OperationKind.OPERATION_KIND_SNAPSHOT: snapshot,
        OperationKind.OPERATION_KIND_BACKUP: snapshot,
        OperationKind.OPERATION_KIND_SHELVE: ShelveWorkflow(ground, images),
        OperationKind.OPERATION_KIND_SHELVE_OFFLOAD: ShelveOffloadWorkflow(ground),
        OperationKind.OPERATION_KIND_UNSHELVE: UnshelveWorkflow(ground, building, images),
    }


class ConductorRole:
    """The owner of the database, which `db.migrate.upgrade` has brought up to date."""

    name = "conductor"

    def __init__(self, node: Node, options: ConductorOptions, database: Database) -> None:
        self._node = node
        self._options = options
        self._database = database
        self._feeds = Feeds()
        self._progress = ProgressBook()
        hearing = Hearing(options.service_down_time, options.report_interval)
        self._heartbeats = Heartbeats(database, self._feeds, self._progress, hearing)
        # Another one each time, so that what an earlier life of this conductor held is told from what it
        # holds.
        owner = f"{node.identity.host}/{uuid.uuid4().hex[:8]}"
        ground = self._ground = Ground(node, database, options, self._feeds, hearing, owner)
        placer = Placer(ground)
        self._passwords = PasswordWorkflow(ground)
        workflows = _workflows(ground, placer, self._passwords)
        self.ledger = Ledger(database, owner, options, self._feeds, workflows)
        self.operations = OperationServicer(database, options, self.ledger, self._feeds, self._progress)
        self.reclaimer = Reclaimer(database, self.operations, options.reclaim_instance_interval)
        self.offloader = Offloader(database, self.operations, options)
        self.confirmer = ResizeConfirmer(database, self.operations, options.resize_confirm_window)
        self._others = Others(database, self._feeds, hearing)
        self._caching = ImageCaching(node, database, options, hearing)
        self._loops: list[asyncio.Task[None]] = []

    def bindings(self) -> Sequence[Binding]:
        """A binding for each noun."""
        database, options, quota = self._database, self._options, self._options.quota.by_resource()
        ledger, feeds, heartbeats = self.ledger, self._feeds, self._heartbeats
        mine = [
            (instance_service_pb2, "InstanceService", InstanceServicer(database, options, ledger, feeds)),
            (operation_service_pb2, "OperationService", self.operations),
            (
                guest_service_pb2,
                "GuestService",
                GuestServicer(database, options, ledger, feeds, self._passwords),
            ),
            (host_service_pb2, "HostService", HostServicer(database, options, ledger, feeds, heartbeats)),
            (
                aggregate_service_pb2,
                "AggregateService",
                AggregateServicer(database, options, feeds, self._caching),
            ),
            (node_service_pb2, "NodeService", NodeServicer(database, heartbeats)),
            (password_service_pb2, "PasswordService", PasswordServicer(database, feeds)),
            (flavor_service_pb2, "FlavorService", FlavorServicer(database)),
            (keypair_service_pb2, "KeypairService", KeypairServicer(database, quota)),
            (migration_service_pb2, "MigrationService", MigrationServicer(database, self._ground)),
            (network_service_pb2, "NetworkService", NetworkServicer(database)),
            (quota_service_pb2, "QuotaService", QuotaServicer(database, quota)),
            (server_group_service_pb2, "ServerGroupService", ServerGroupServicer(database, quota)),
            (usage_service_pb2, "UsageService", UsageServicer(database, options)),
            (image_service_pb2, "ImageService", ImageServicer(database)),
            (image_member_service_pb2, "ImageMemberService", ImageMemberServicer(database)),
        ]
        return [
            *(
                Binding(contract.DESCRIPTOR.services_by_name[name], servicer)
                for contract, name, servicer in mine
            ),
            *identity_bindings(database),
        ]

    async def start(self) -> None:
        """Begin to take up operations. Raises UnavailableError when the database doesn't answer."""
        await self._heartbeats.begin()
        zone = self._options.default_availability_zone
        await self._database.write(lambda c: aggregates.set_default_zone(c, zone))
        self._report_self()
        await self._heartbeats.flush()
        await self.ledger.start()
        self._loops = [
            asyncio.create_task(loop, context=contextvars.Context())
            for loop in (
                _forever("heartbeats not written", FLUSH_INTERVAL, self._heartbeats.flush),
                _forever("own heartbeat failed", self._options.report_interval, self._report),
                _forever("look for others' changes failed", self._options.poll_interval, self._others.look),
                _forever("resizes not confirmed", self.confirmer.pause, self.confirmer.confirm),
                _forever("soft-deleted not reclaimed", self.reclaimer.pause, self.reclaimer.reclaim),
                _forever("shelved not offloaded", self.offloader.pause, self.offloader.offload),
                *self._audits(),
            )
        ]

    async def stop(self) -> None:
        """Let go of all operations, and of the database, which is the role's own."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._caching.stop()
        await self.ledger.stop()
        await self.ledger.release()
        await self._database.close()

    def _audits(self) -> Sequence[Coroutine[None, None, None]]:
        if not self._options.instance_usage_audit:
            return ()
        auditor = UsageAuditor(self._database, self._options.instance_usage_audit_period)
        return (_forever("usage audit failed", self._options.usage_audit_interval, auditor.run),)

    async def _report(self) -> None:
        self._report_self()

    def _report_self(self) -> None:
        self._heartbeats.node(
            NodeRecord(
                role=self.name,
                host=self._node.identity.host,
                address=self._node.address,
                version=_version(),
                reported_at=timestamp(now()),
            )
        )


async def _forever(trouble: str, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Failure as failure:
            log.warning(trouble, reason=failure.message)
        except Exception:
            log.exception(trouble)

"""A compute host as a role of the mesh."""

from collections.abc import Sequence

from drivers.virt import Driver
from novamesh.compute.v1 import (
    console_service_pb2,
    disk_service_pb2,
    guest_service_pb2,
    host_service_pb2,
    interface_service_pb2,
    lifecycle_service_pb2,
    migration_service_pb2,
    resize_service_pb2,
    snapshot_service_pb2,
)
from services.compute.consoles import ConsoleServicer
from services.compute.guest_service import GuestServicer
from services.compute.guests import Guests
from services.compute.hosts import HostServicer
from services.compute.image_cache import ImageCacheKeeper
from services.compute.lifecycle import LifecycleServicer
from services.compute.migrations import MigrationServicer
from services.compute.options import ComputeOptions
from services.compute.power_states import PowerStateReporter
from services.compute.reconciliation import Reconciler
from services.compute.resizes import ResizeServicer
from services.compute.resource_tracker import ResourceTracker
from services.compute.snapshots import SnapshotServicer
from services.compute.work import WorkTable
from services.mesh import Binding, Node, unserved


class ComputeRole:
    """Runs guests on the host that the node is certified for, through `driver`.

    A driver that fetches images was made with `MeshImages(node)`.
    """

    name = "compute"

    def __init__(self, node: Node, options: ComputeOptions, driver: Driver) -> None:
        self._node = node
        self._driver = driver
        self._work = WorkTable()
        guests = Guests(node, driver, options)
        self._reporter = PowerStateReporter(node, driver, self._work, lambda: self.reconciler.soon())
        self.reconciler = Reconciler(node, guests, self._work, self._reporter, options)

        def address() -> str:
            bound = node.address
            return f"{options.my_ip}:{bound.rpartition(':')[2]}" if options.my_ip else bound

        self.tracker = ResourceTracker(node, driver, options, address)
        self.tracker.on_return = self.reconciler.soon
        self._image_cache = ImageCacheKeeper(driver, options.image_cache_manager_interval)
        self._resizes = ResizeServicer(node, driver, self._work, self._reporter)
        self._lifecycle = LifecycleServicer(node, guests, self._work, self._reporter)
        self._guest_service = GuestServicer(node, guests, self._work, self._reporter)

    def bindings(self) -> Sequence[Binding]:
        """Lifecycle, consoles, host; and what hosts will do later."""
        lifecycle = lifecycle_service_pb2.DESCRIPTOR.services_by_name["LifecycleService"]
        console = console_service_pb2.DESCRIPTOR.services_by_name["ConsoleService"]
        host = host_service_pb2.DESCRIPTOR.services_by_name["HostService"]
        return [
            Binding(lifecycle, self._lifecycle),
            Binding(console, ConsoleServicer(self._driver)),
            Binding(host, HostServicer(self._driver)),
            unserved(disk_service_pb2.DESCRIPTOR.services_by_name["DiskService"]),
            Binding(guest_service_pb2.DESCRIPTOR.services_by_name["GuestService"], self._guest_service),
            unserved(interface_service_pb2.DESCRIPTOR.services_by_name["InterfaceService"]),
            Binding(
                migration_service_pb2.DESCRIPTOR.services_by_name["MigrationService"],
                MigrationServicer(self._driver, self._work, self._reporter),
            ),
            Binding(resize_service_pb2.DESCRIPTOR.services_by_name["ResizeService"], self._resizes),
            Binding(
                snapshot_service_pb2.DESCRIPTOR.services_by_name["SnapshotService"],
                SnapshotServicer(self._node, self._driver, self._work),
            ),
        ]

    async def start(self) -> None:
        """Reach the hypervisor, then register and reconcile in the background.

        Raises UnavailableError when there is no hypervisor, with how to get it.
        """
        await self._driver.start()
        self._reporter.start()
        self.tracker.start()
        self.reconciler.start()
        self._image_cache.start()

    async def stop(self) -> None:
        """Let go of everything. Guests run on; work that was half done goes on after the next start."""
        await self._image_cache.stop()
        await self.reconciler.stop()
        await self.tracker.stop()
        await self._reporter.stop()
        await self._work.stop()
        await self._driver.stop()

"""The fake driver: guests that are entries of a dictionary."""

import json
from collections.abc import Callable

from drivers.virt.fake.guests import (
    FakeGuestAgent,
    FakeGuestDiagnostics,
    FakeNmi,
    FakeRebuild,
    FakeRescue,
)
from drivers.virt.fake.host import FakeHostPower, FakeImagePrecaching
from drivers.virt.fake.hypervisor import FakeHypervisor
from drivers.virt.fake.lifecycle import FakeLifecycle, FakeSuspend
from drivers.virt.fake.live_migration import FakeLiveMigration
from drivers.virt.fake.options import FakeOptions
from drivers.virt.fake.resize import FakeResize
from drivers.virt.fake.snapshots import FakeSnapshots
from drivers.virt.protocols import (
    ConsoleEndpoint,
    ConsoleKind,
    GuestState,
    ImageSource,
    PowerChange,
    capabilities,
)
from novamesh.failures import NotSupportedError
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import Instance

_CPU = {"arch": "x86_64", "vendor": "fake", "features": []}


class FakeConsole:
    """The Protocol Console."""

    hypervisor: FakeHypervisor

    async def console_output(self, instance_id: str, lines: int | None = None) -> bytes:
        """Some lines for each start."""
        await self.hypervisor.begin("console_output", Instance(id=instance_id))
        printed = self.hypervisor.guest(instance_id).console
        return b"".join(printed[-lines:] if lines else printed)

    async def console_endpoint(self, instance_id: str, kind: ConsoleKind) -> ConsoleEndpoint:
        """An address where nobody listens."""
        self.hypervisor.guest(instance_id)
        if kind == "serial":
            raise NotSupportedError("serial_console", "The fake driver has no serial consoles.")
        port = 5900 + sum(instance_id.encode()) % 1000
        return ConsoleEndpoint(kind, self.hypervisor.options.host_ip, port)


class FakeInventory:
    """The Protocol Inventory."""

    hypervisor: FakeHypervisor

    async def inventory(self) -> HostInventory:
        """As the options say."""
        await self.hypervisor.begin("inventory", Instance())
        options = self.hypervisor.options
        return HostInventory(
            vcpus=options.vcpus,
            memory_mb=options.memory_mb,
            disk_gb=options.disk_gb,
            disk_available_gb=options.disk_gb,
            hypervisor_type="fake",
            hypervisor_version=options.hypervisor_version,
            hypervisor_hostname=options.hypervisor_hostname,
            cpu_info=json.dumps(_CPU | {"model": options.cpu_model}),
            supported_instances=["x86_64,fake,hvm"],
            capabilities=capabilities(self),
            host_ip=options.host_ip,
            uptime=self.hypervisor.uptime(),
        )

    async def instances(self) -> list[GuestState]:
        """All guests."""
        await self.hypervisor.begin("instances", Instance())
        return [GuestState(guest, entry.state) for guest, entry in self.hypervisor.guests.items()]

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        """Call `on_change` within the method that causes the change."""
        return self.hypervisor.watch(on_change)


class FakeDriver(
    FakeLifecycle,
    FakeSuspend,
    FakeResize,
    FakeLiveMigration,
    FakeSnapshots,
    FakeConsole,
    FakeInventory,
    FakeHostPower,
    FakeImagePrecaching,
    FakeRebuild,
    FakeRescue,
    FakeGuestAgent,
    FakeNmi,
    FakeGuestDiagnostics,
):
    """Every ability of a driver of today, without a hypervisor.

    `hypervisor` is where tests make it fail (`hypervisor.fail`) and end guests
    behind its back (`hypervisor.enter`).
    """

    name = "fake"

    def __init__(self, options: FakeOptions | None = None, images: ImageSource | None = None) -> None:
        super().__init__(FakeHypervisor(options or FakeOptions()), images)

    async def start(self) -> None:
        """Find the guests that an earlier process left in the journal."""
        self.hypervisor.open()

    async def stop(self) -> None:
        """Let go of the journal; guests stay in it."""
        self.hypervisor.close()

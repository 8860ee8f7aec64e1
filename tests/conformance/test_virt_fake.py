"""The conformance suite on the fake driver."""

import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest

from drivers.testsuite import (
    ColdMigrationSuite,
    ConsoleSuite,
    CrashSuite,
    DiagnosticsSuite,
    HostPowerSuite,
    ImagePrecachingSuite,
    ImageSuite,
    InventorySuite,
    LifecycleSuite,
    LiveMigrationSuite,
    MemoryImages,
    NmiSuite,
    RebuildSuite,
    RescueSuite,
    ResizeSuite,
    SnapshotSuite,
    SuspendSuite,
)
from drivers.virt import Driver
from drivers.virt.fake import FakeDriver, FakeOptions
from drivers.virt.fake.journal import Journal
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import POWER_STATE_SHUTDOWN, Instance


class FakeHarness:
    """Drivers that share a journal, as processes do that come after one another."""

    gaps: Mapping[str, str] = {"test_corrupt": "the fake driver looks at an image's record, not at its data"}

    def __init__(self, journal: Path) -> None:
        self.images = MemoryImages()
        self._journal = journal
        self._drivers: list[FakeDriver] = []
        self._image = self.images.add(b"image")

    def make(self) -> Driver:
        driver = FakeDriver(FakeOptions(journal=str(self._journal)), self.images)
        self._drivers.append(driver)
        return driver

    def make_other(self) -> Driver:
        return FakeDriver(FakeOptions(journal=str(self._journal.with_name("other.jsonl"))), self.images)

    def instance(self) -> Instance:
        flavor = Flavor(name="m1.tiny", vcpus=1, memory_mb=512, root_gb=1)
        return Instance(id=str(uuid.uuid4()), number=1, flavor=flavor, image_id=self._image)

    async def ready(self, driver: Driver, instance: Instance) -> None:
        pass

    async def end_guest(self, instance_id: str) -> None:
        self._drivers[-1].hypervisor.enter(instance_id, POWER_STATE_SHUTDOWN)

    async def forget_guest(self, instance_id: str) -> None:
        self._drivers[-1].hypervisor.drop(instance_id)

    async def size(self, instance_id: str) -> tuple[int, int, int]:
        flavor = self._drivers[-1].hypervisor.guest(instance_id).flavor
        assert flavor is not None
        return flavor.vcpus, flavor.memory_mb, flavor.root_gb

    async def leftovers(self, instance_id: str) -> list[str]:
        return [name for name in Journal.read(self._journal) if name.startswith(instance_id)]


@pytest.fixture
def harness(tmp_path: Path) -> FakeHarness:
    return FakeHarness(tmp_path / "guests.jsonl")


class TestLifecycle(LifecycleSuite): ...


class TestSuspend(SuspendSuite): ...


class TestSnapshot(SnapshotSuite): ...


class TestResize(ResizeSuite): ...


class TestColdMigration(ColdMigrationSuite): ...


class TestLiveMigration(LiveMigrationSuite): ...


class TestConsole(ConsoleSuite): ...


class TestInventory(InventorySuite): ...


class TestCrash(CrashSuite): ...


class TestImage(ImageSuite): ...


class TestHostPower(HostPowerSuite): ...


class TestImagePrecaching(ImagePrecachingSuite): ...


class TestRebuild(RebuildSuite): ...


class TestRescue(RescueSuite): ...


class TestNmi(NmiSuite): ...


class TestDiagnostics(DiagnosticsSuite): ...

"""The conformance suite for hypervisor drivers, for those in this tree and others.

A driver is tested by giving pytest a fixture `harness` and a class for each
suite that it is to pass:

    from drivers.testsuite import ConsoleSuite, Harness, LifecycleSuite

    @pytest.fixture
    async def harness(tmp_path): ...

    class TestLifecycle(LifecycleSuite): ...
    class TestConsole(ConsoleSuite): ...

pytest's option `asyncio_mode = "auto"` has to be on. A test that the driver
can't pass is named in `Harness.gaps` with the reason; it still runs, and the
suite fails when it begins to pass, so that no gap outlives its cause.

docs/drivers/writing-a-driver.md says more.
"""

from drivers.testsuite.abilities import ConsoleSuite, InventorySuite, SuspendSuite
from drivers.testsuite.failures import CrashSuite, ImageSuite
from drivers.testsuite.guests import DiagnosticsSuite, NmiSuite, RebuildSuite, RescueSuite
from drivers.testsuite.harness import Harness, Suite, TwoHostHarness, wait_for
from drivers.testsuite.host import HostPowerSuite, ImagePrecachingSuite
from drivers.testsuite.images import MemoryImages
from drivers.testsuite.lifecycle import LifecycleSuite
from drivers.testsuite.live_migration import LiveMigrationSuite
from drivers.testsuite.resize import ColdMigrationSuite, ResizeSuite
from drivers.testsuite.snapshots import SnapshotSuite

__all__ = [
    "ColdMigrationSuite",
    "ConsoleSuite",
    "CrashSuite",
    "DiagnosticsSuite",
    "Harness",
    "HostPowerSuite",
    "ImagePrecachingSuite",
    "ImageSuite",
    "InventorySuite",
    "LifecycleSuite",
    "LiveMigrationSuite",
    "MemoryImages",
    "NmiSuite",
    "RebuildSuite",
    "RescueSuite",
    "ResizeSuite",
    "SnapshotSuite",
    "Suite",
    "SuspendSuite",
    "TwoHostHarness",
    "wait_for",
]

"""The conformance suite through the compute role over mutual TLS, on the fake driver."""

from pathlib import Path

import pytest

from drivers.testsuite import (
    ConsoleSuite,
    CrashSuite,
    DiagnosticsSuite,
    ImageSuite,
    InventorySuite,
    LifecycleSuite,
    LiveMigrationSuite,
    NmiSuite,
    RebuildSuite,
    RescueSuite,
    ResizeSuite,
    SnapshotSuite,
    SuspendSuite,
)
from drivers.virt import Driver
from tests.conformance.role_driver import RoleDriver
from tests.conformance.test_virt_fake import FakeHarness


class RoleHarness(FakeHarness):
    """The fake's harness with a role around each driver."""

    def make(self) -> Driver:
        return RoleDriver(super().make())

    def make_other(self) -> Driver:
        return RoleDriver(super().make_other())


class LostGuestsHarness(RoleHarness):
    """For the suite in which the role is kinder than a driver."""

    gaps = {"test_missing_guest": "the role takes a lost guest for one that is off, and reboots it anew"}


class SnapshotHarness(RoleHarness):
    """For the suite in which the role does more than a driver."""

    gaps = {"test_twice": "the role takes a snapshot that is asked for and isn't there"}


@pytest.fixture
def harness(tmp_path: Path) -> RoleHarness:
    return RoleHarness(tmp_path / "guests.jsonl")


class TestLifecycle(LifecycleSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> RoleHarness:
        return LostGuestsHarness(tmp_path / "guests.jsonl")


class TestSuspend(SuspendSuite): ...


class TestResize(ResizeSuite): ...


class TestLiveMigration(LiveMigrationSuite): ...


class TestConsole(ConsoleSuite): ...


class TestInventory(InventorySuite): ...


class TestCrash(CrashSuite): ...


class TestImage(ImageSuite): ...


class TestRebuild(RebuildSuite): ...


class TestRescue(RescueSuite): ...


class TestNmi(NmiSuite): ...


class TestDiagnostics(DiagnosticsSuite): ...


class TestSnapshot(SnapshotSuite):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> RoleHarness:
        return SnapshotHarness(tmp_path / "guests.jsonl")

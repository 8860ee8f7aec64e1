"""The conformance suite on the libvirt driver, with guests that boot."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.testsuite import (
    ConsoleSuite,
    CrashSuite,
    DiagnosticsSuite,
    ImagePrecachingSuite,
    ImageSuite,
    InventorySuite,
    LifecycleSuite,
    NmiSuite,
    RebuildSuite,
    RescueSuite,
    ResizeSuite,
    SnapshotSuite,
    SuspendSuite,
)
from drivers.virt.libvirt import PrivateLibvirtd
from tests.conformance.libvirt_harness import LibvirtHarness, own_libvirtd

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    with own_libvirtd(tmp_path_factory.mktemp("libvirtd")) as daemon:
        yield daemon


@pytest.fixture
async def harness(libvirtd: PrivateLibvirtd, tmp_path: Path) -> AsyncIterator[LibvirtHarness]:
    harness = LibvirtHarness(libvirtd, tmp_path)
    yield harness
    # A test that failed mustn't make the next one fail.
    for domain in await asyncio.to_thread(harness.end_all):
        pytest.fail(f"{domain} was left")


class TestLifecycle(LifecycleSuite): ...


class TestSuspend(SuspendSuite): ...


class TestSnapshot(SnapshotSuite): ...


class TestResize(ResizeSuite): ...


class TestConsole(ConsoleSuite): ...


class TestInventory(InventorySuite): ...


class TestCrash(CrashSuite): ...


class TestImage(ImageSuite): ...


class TestImagePrecaching(ImagePrecachingSuite): ...


class TestRebuild(RebuildSuite): ...


class TestRescue(RescueSuite): ...


class TestNmi(NmiSuite): ...


class TestDiagnostics(DiagnosticsSuite): ...

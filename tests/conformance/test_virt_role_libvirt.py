"""The conformance suite through the compute role over mutual TLS, on libvirt, with guests that boot.

CrashSuite isn't here: it starts a second driver while the first still works, and
a host has one compute role.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.testsuite import ImageSuite, LifecycleSuite, ResizeSuite, SuspendSuite
from drivers.virt import Driver
from drivers.virt.libvirt import PrivateLibvirtd
from tests.conformance.libvirt_harness import LibvirtHarness, distant_libvirtd
from tests.conformance.role_driver import RoleDriver

pytestmark = pytest.mark.real


class RoleHarness(LibvirtHarness):
    """libvirt's harness with a role around each driver."""

    def make(self) -> Driver:
        return RoleDriver(super().make())


class LostGuestsHarness(RoleHarness):
    """For the suite in which the role is kinder than a driver."""

    gaps = {"test_missing_guest": "the role takes a lost guest for one that is off, and reboots it anew"}


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    with distant_libvirtd(tmp_path_factory.mktemp("libvirtd")) as daemon:
        yield daemon


async def _until_clean(harness: RoleHarness) -> AsyncIterator[RoleHarness]:
    yield harness
    for domain in await asyncio.to_thread(harness.end_all):
        pytest.fail(f"{domain} was left")


@pytest.fixture
async def harness(libvirtd: PrivateLibvirtd, tmp_path: Path) -> AsyncIterator[RoleHarness]:
    async for harness in _until_clean(RoleHarness(libvirtd, tmp_path)):
        yield harness


class TestLifecycle(LifecycleSuite):
    @pytest.fixture
    async def harness(self, libvirtd: PrivateLibvirtd, tmp_path: Path) -> AsyncIterator[RoleHarness]:
        async for harness in _until_clean(LostGuestsHarness(libvirtd, tmp_path)):
            yield harness


class TestSuspend(SuspendSuite): ...


class TestResize(ResizeSuite): ...


class TestImage(ImageSuite): ...

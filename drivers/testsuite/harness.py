"""What a driver's author gives to the suite, and what all suites share."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

import pytest

from drivers.testsuite.images import MemoryImages
from drivers.virt.protocols import Driver
from novamesh.types.v1.instance_pb2 import Instance


class Harness(Protocol):
    """One hypervisor with nothing on it, for one test."""

    images: MemoryImages
    """Images that drivers made by `make` fetch from."""
    gaps: Mapping[str, str]
    """Tests that the driver can't pass, by name, with the reason."""

    def make(self) -> Driver:
        """A driver on this hypervisor, not started. Called again, it is what a restarted process makes."""
        ...

    def instance(self) -> Instance:
        """A new instance that the driver can boot, with an id of its own and its images in `images`."""
        ...

    async def ready(self, driver: Driver, instance: Instance) -> None:
        """Return when the guest has started so far that it prints, and obeys its power button."""
        ...

    async def end_guest(self, instance_id: str) -> None:
        """End a guest behind the driver's back, as when its process is killed."""
        ...

    async def forget_guest(self, instance_id: str) -> None:
        """Make the hypervisor forget a guest that is off, its disks left in place."""
        ...

    async def size(self, instance_id: str) -> tuple[int, int, int]:
        """Virtual CPUs, MiB of memory and GiB of root disk that the guest really has."""
        ...

    async def leftovers(self, instance_id: str) -> list[str]:
        """What there still is of an instance: definitions, files, processes; for people to read."""
        ...


class TwoHostHarness(Harness, Protocol):
    """Two hypervisors, for drivers that move guests between them."""

    def make_other(self) -> Driver:
        """A driver on the other one, not started."""
        ...


class Suite:
    """Base of the suites: one driver, started, for each test."""

    @pytest.fixture(autouse=True)
    def gap(self, request: pytest.FixtureRequest, harness: Harness) -> None:
        """Expect the test to fail where the harness declares a gap."""
        reason = harness.gaps.get(request.node.name)
        if reason is not None:
            request.node.add_marker(pytest.mark.xfail(reason=reason, strict=True))

    @pytest.fixture
    async def driver(self, harness: Harness) -> AsyncIterator[Driver]:
        """A started driver."""
        driver = harness.make()
        await driver.start()
        yield driver
        await driver.stop()


async def wait_for(condition: Callable[[], Awaitable[bool]], what: str, timeout: float = 60.0) -> None:
    """Return when a condition of the outside world holds; fail with `what` when it never does."""
    try:
        async with asyncio.timeout(timeout):
            while not await condition():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"waited {timeout:g} s in vain: {what}")

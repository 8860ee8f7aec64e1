"""Images taken of guests."""

import asyncio
import contextlib

import pytest

from drivers.image.formats import Inspector
from drivers.testsuite.harness import Harness, Suite
from drivers.virt.protocols import Boot, Driver, Snapshot, Snapshots, Suspend
from novamesh.failures import DriverFailureError, NotFoundError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    POWER_STATE_SUSPENDED,
    Instance,
)

GIB = 1024**3


async def read(driver: Snapshots, instance: Instance, name: str) -> bytes:
    """A snapshot's data."""
    return b"".join([chunk async for chunk in driver.read_snapshot(instance, name)])


async def take(driver: Driver, instance: Instance, name: str = "one") -> tuple[Snapshot, bytes]:
    """Take a snapshot, read it and drop it: an image that a service accepts, as large as the root disk."""
    assert isinstance(driver, Snapshots)
    taken = await driver.take_snapshot(instance, name)
    data = await read(driver, instance, name)
    assert len(data) == taken.size
    assert taken.container_format == "bare"
    inspector = Inspector(taken.disk_format)
    inspector.feed(data)
    assert inspector.finish() == instance.flavor.root_gb * GIB
    await driver.drop_snapshot(instance, name)
    return taken, data


class SnapshotSuite(Suite):
    """The Protocol Snapshots."""

    async def test_running(self, harness: Harness, driver: Driver) -> None:
        """The guest runs on."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await take(driver, instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_paused(self, harness: Harness, driver: Driver) -> None:
        """The guest stays paused."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.pause(instance)
        await take(driver, instance)
        assert await driver.power_state(instance.id) == POWER_STATE_PAUSED
        await driver.destroy(instance)

    async def test_off(self, harness: Harness, driver: Driver) -> None:
        """The guest stays off, and can be started."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.power_off(instance)
        await take(driver, instance)
        assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
        await driver.power_on(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_suspended(self, harness: Harness, driver: Driver) -> None:
        """The guest's memory stays where it is."""
        assert isinstance(driver, Suspend)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.suspend(instance)
        await take(driver, instance)
        assert await driver.power_state(instance.id) == POWER_STATE_SUSPENDED
        await driver.resume(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_a_guest_of_a_snapshot(self, harness: Harness, driver: Driver) -> None:
        """What was taken of one guest starts another."""
        instance, other = harness.instance(), harness.instance()
        await driver.spawn(instance, Boot())
        taken, data = await take(driver, instance)
        other.image_id = harness.images.add(data, taken.disk_format)
        await driver.spawn(other, Boot())
        assert await driver.power_state(other.id) == POWER_STATE_RUNNING
        await take(driver, other)
        for guest in (instance, other):
            await driver.destroy(guest)

    async def test_twice(self, harness: Harness, driver: Driver) -> None:
        """One that is there is kept; one of another name takes its place; dropping it twice is no harm."""
        assert isinstance(driver, Snapshots)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        assert await driver.take_snapshot(instance, "one") == await driver.take_snapshot(instance, "one")
        await driver.take_snapshot(instance, "two")
        with pytest.raises(NotFoundError):
            await read(driver, instance, "one")
        for _ in range(2):
            await driver.drop_snapshot(instance, "two")
        with pytest.raises(NotFoundError):
            await read(driver, instance, "two")
        await driver.destroy(instance)

    async def test_a_process_that_ends(self, harness: Harness, driver: Driver) -> None:
        """Another one finishes what the first was at."""
        assert isinstance(driver, Snapshots)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        taking = asyncio.create_task(driver.take_snapshot(instance, "one"))
        await asyncio.sleep(0)
        taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await taking
        other = harness.make()
        await other.start()
        await take(other, instance)
        await other.destroy(instance)
        await other.stop()

    async def test_destroy(self, harness: Harness, driver: Driver) -> None:
        """What nobody came for goes with the guest, and so does what is being taken."""
        assert isinstance(driver, Snapshots)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.take_snapshot(instance, "one")
        await driver.drop_snapshot(instance, "one")
        taking = asyncio.create_task(driver.take_snapshot(instance, "two"))
        await asyncio.sleep(0)
        await driver.destroy(instance)
        with contextlib.suppress(NotFoundError, DriverFailureError):
            await taking
        assert await harness.leftovers(instance.id) == []
        # Of a guest that is gone there is nothing to drop.
        await driver.drop_snapshot(instance, "two")

    async def test_missing_guest(self, harness: Harness, driver: Driver) -> None:
        """Nothing can be taken of it."""
        assert isinstance(driver, Snapshots)
        instance = harness.instance()
        with pytest.raises(NotFoundError):
            await driver.take_snapshot(instance, "one")

"""What a driver does when something breaks."""

import asyncio

import pytest

from drivers.testsuite.harness import Harness, Suite
from drivers.virt.protocols import Boot, Driver, GuestState
from novamesh.failures import ImageUnacceptableError, NotFoundError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, Instance

_MIB = 1024**2


class CrashSuite(Suite):
    """Calls that end half-way, and processes that come back."""

    async def test_spawn_cut_short_at_every_step(self, harness: Harness, driver: Driver) -> None:
        """A spawn that ends at any step is taken up by another process, or removed by it, whole."""
        position = 0
        while True:
            instance = harness.instance()
            if await _spawn_until(driver, instance, position):
                break
            other = harness.make()
            await other.start()
            await _spawn_until(other, instance, position)
            if position % 2:
                await other.spawn(instance, Boot())
                assert await other.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
            await other.destroy(instance)
            assert await other.instances() == []
            assert await harness.leftovers(instance.id) == []
            await other.stop()
            position += 1
        assert position > 0
        await driver.destroy(instance)

    async def test_guests_outlive_the_driver(self, harness: Harness, driver: Driver) -> None:
        """Another process finds the guest and has power over it."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.stop()
        other = harness.make()
        await other.start()
        assert await other.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        await other.spawn(instance, Boot())
        await other.destroy(instance)
        assert await harness.leftovers(instance.id) == []
        await other.stop()

    async def test_spawn_twice_at_once(self, harness: Harness, driver: Driver) -> None:
        """Both succeed, and there is one guest."""
        instance = harness.instance()
        await asyncio.gather(driver.spawn(instance, Boot()), driver.spawn(instance, Boot()))
        assert await driver.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        await driver.destroy(instance)

    async def test_destroy_overtakes_spawn(self, harness: Harness, driver: Driver) -> None:
        """A destroy that comes while a spawn is stopped leaves nothing."""
        instance = harness.instance()
        spawn = asyncio.create_task(driver.spawn(instance, Boot()))
        await asyncio.sleep(0)
        spawn.cancel()
        await driver.destroy(instance)
        await asyncio.wait([spawn])
        assert await driver.instances() == []
        assert await harness.leftovers(instance.id) == []


class ImageSuite(Suite):
    """Images that can't be used, and image services that can't be reached."""

    async def test_too_large(self, harness: Harness, driver: Driver) -> None:
        """An image that is larger than the flavor's disk is refused, and nothing is left."""
        instance = harness.instance()
        instance.flavor.root_gb = 1
        instance.image_id = harness.images.add_sparse(1024 * _MIB + 512)
        await self._refused(harness, driver, instance, "size")

    async def test_inactive(self, harness: Harness, driver: Driver) -> None:
        """An image without data is refused."""
        instance = harness.instance()
        instance.image_id = harness.images.add_queued()
        await self._refused(harness, driver, instance, "status")

    async def test_corrupt(self, harness: Harness, driver: Driver) -> None:
        """An image whose data isn't what its record says is refused."""
        instance = harness.instance()
        instance.image_id = harness.images.add(bytes(_MIB), corrupt=True)
        await self._refused(harness, driver, instance, "checksum")

    async def test_gone(self, harness: Harness, driver: Driver) -> None:
        """An image that was deleted is not found."""
        instance = harness.instance()
        instance.image_id = harness.images.add(bytes(_MIB))
        harness.images.remove(instance.image_id)
        with pytest.raises(NotFoundError) as caught:
            await driver.spawn(instance, Boot())
        assert instance.image_id in caught.value.message
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []

    async def test_image_service_away(self, harness: Harness, driver: Driver) -> None:
        """The failure says which part is away; the same call succeeds when it is back."""
        instance = harness.instance()
        harness.images.available = False
        with pytest.raises(UnavailableError):
            await driver.spawn(instance, Boot())
        assert await driver.instances() == []
        harness.images.available = True
        await driver.spawn(instance, Boot())
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def _refused(self, harness: Harness, driver: Driver, instance: Instance, problem: str) -> None:
        with pytest.raises(ImageUnacceptableError) as caught:
            await driver.spawn(instance, Boot())
        assert getattr(caught.value.detail, "problem", "") == problem
        assert await driver.instances() == []
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []


async def _spawn_until(driver: Driver, instance: Instance, position: int) -> bool:
    """Spawn, and cancel at the step of that number; True when there was no such step."""
    seen: list[str] = []
    spawn: asyncio.Task[None]

    def on_progress(step: str, percent: int) -> None:
        if step not in seen:
            seen.append(step)
            if len(seen) == position + 1:
                spawn.cancel()

    spawn = asyncio.create_task(driver.spawn(instance, Boot(progress=on_progress)))
    await asyncio.wait([spawn])
    if not spawn.cancelled():
        spawn.result()
        return True
    return False

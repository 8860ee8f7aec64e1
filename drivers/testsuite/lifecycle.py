"""What every driver does with every guest."""

import asyncio
import uuid
from functools import partial

import pytest

from drivers.testsuite.harness import Harness, Suite
from drivers.virt.protocols import Boot, Driver, GuestState, PowerChange
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    Instance,
)
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, REBOOT_TYPE_SOFT


class LifecycleSuite(Suite):
    """The Protocol Lifecycle, and what `watch` tells of it."""

    async def test_spawn_and_destroy(self, harness: Harness, driver: Driver) -> None:
        """A guest runs, is listed, and leaves nothing; each call twice, for the second changes nothing."""
        instance = harness.instance()
        steps: list[str] = []
        boot = Boot(progress=lambda step, percent: steps.append(step))
        for _ in range(2):
            await driver.spawn(instance, boot)
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
            assert await driver.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        assert steps
        # A guest without a record has to go, too: its id is all that is known.
        for _ in range(2):
            await driver.destroy(Instance(id=instance.id))
            assert await driver.instances() == []
            assert await harness.leftovers(instance.id) == []

    async def test_two_guests(self, harness: Harness, driver: Driver) -> None:
        """Guests don't get in each other's way."""
        first, second = harness.instance(), harness.instance()
        await asyncio.gather(driver.spawn(first, Boot()), driver.spawn(second, Boot()))
        await driver.destroy(first)
        assert await driver.instances() == [GuestState(second.id, POWER_STATE_RUNNING)]
        await driver.destroy(second)

    async def test_power_off_and_on(self, harness: Harness, driver: Driver) -> None:
        """Off at once and on again, each twice."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.power_off(instance)
            assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
            assert await driver.instances() == [GuestState(instance.id, POWER_STATE_SHUTDOWN)]
        for _ in range(2):
            await driver.power_on(instance)
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_power_on_of_a_lost_guest(self, harness: Harness, driver: Driver) -> None:
        """A guest that the hypervisor has forgotten is made anew from its record and its disks."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.power_off(instance)
        await harness.forget_guest(instance.id)
        assert await driver.instances() == []
        await driver.power_on(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_graceful_power_off(self, harness: Harness, driver: Driver) -> None:
        """A guest that obeys its power button is off long before the time is up."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        async with asyncio.timeout(60):
            await driver.power_off(instance, timeout=600)
        assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
        await driver.destroy(instance)

    async def test_deaf_guest_is_powered_off(self, harness: Harness, driver: Driver) -> None:
        """A guest that can't obey loses its power when the time is up."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.pause(instance)
        await driver.power_off(instance, timeout=0.1)
        assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
        await driver.destroy(instance)

    async def test_soft_reboot(self, harness: Harness, driver: Driver) -> None:
        """The guest goes down by itself and runs again."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        stopped: list[PowerChange] = []
        driver.watch(
            lambda change: stopped.append(change) if change.power_state == POWER_STATE_SHUTDOWN else None
        )
        async with asyncio.timeout(60):
            await driver.reboot(instance, REBOOT_TYPE_SOFT, 600)
        assert stopped
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_hard_reboot(self, harness: Harness, driver: Driver) -> None:
        """It runs again, whatever it was before: running, paused, off, lost."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.reboot(instance, REBOOT_TYPE_HARD)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.pause(instance)
        await driver.reboot(instance, REBOOT_TYPE_HARD)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.power_off(instance)
        await harness.forget_guest(instance.id)
        await driver.reboot(instance, REBOOT_TYPE_HARD)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_pause_and_unpause(self, harness: Harness, driver: Driver) -> None:
        """Each twice."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.pause(instance)
            assert await driver.power_state(instance.id) == POWER_STATE_PAUSED
        for _ in range(2):
            await driver.unpause(instance)
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_missing_guest(self, harness: Harness, driver: Driver) -> None:
        """Methods that need a guest say that it isn't there; destroy has nothing to do."""
        instance = harness.instance()
        for call in (
            partial(driver.power_state, instance.id),
            partial(driver.power_off, instance),
            partial(driver.pause, instance),
            partial(driver.unpause, instance),
            partial(driver.reboot, instance, REBOOT_TYPE_SOFT),
        ):
            with pytest.raises(NotFoundError):
                await call()
        await driver.destroy(instance)
        await driver.destroy(Instance(id=str(uuid.uuid4())))

    async def test_watch(self, harness: Harness, driver: Driver) -> None:
        """A guest that dies outside is told of; after unsubscribing nothing is."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        died = asyncio.Event()

        def on_change(change: PowerChange) -> None:
            if change.instance_id == instance.id and change.power_state != POWER_STATE_RUNNING:
                died.set()

        unsubscribe = driver.watch(on_change)
        await harness.end_guest(instance.id)
        async with asyncio.timeout(60):
            await died.wait()
        assert await driver.power_state(instance.id) != POWER_STATE_RUNNING
        unsubscribe()
        died.clear()
        await driver.power_on(instance)
        await driver.destroy(instance)
        assert not died.is_set()

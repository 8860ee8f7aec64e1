"""Guests that move to another host while they run."""

from collections.abc import AsyncIterator

import pytest

from drivers.testsuite.harness import Suite, TwoHostHarness
from drivers.virt.live_migration import LiveMigration, MigrationCheck
from drivers.virt.protocols import Boot, Driver, GuestState
from novamesh.failures import NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_PAUSED, POWER_STATE_RUNNING, Instance


class LiveMigrationSuite(Suite):
    """The Protocol LiveMigration: `driver` is the source."""

    @pytest.fixture
    async def other(self, harness: TwoHostHarness) -> AsyncIterator[Driver]:
        """The destination, started."""
        other = harness.make_other()
        await other.start()
        yield other
        await other.stop()

    async def test_there_and_back(self, harness: TwoHostHarness, driver: Driver, other: Driver) -> None:
        """A guest runs on at the other host, and on the first again; nothing of it stays behind."""
        instance = harness.instance()
        instance.power_state = POWER_STATE_RUNNING
        await driver.spawn(instance, Boot())
        await _move(driver, other, instance)
        assert await driver.instances() == []
        assert await harness.leftovers(instance.id) == []
        assert await other.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        await _move(other, driver, instance)
        assert await driver.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        assert await other.instances() == []
        await driver.destroy(instance)

    async def test_a_paused_guest_stays_paused(
        self, harness: TwoHostHarness, driver: Driver, other: Driver
    ) -> None:
        """Wherever it is."""
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.pause(instance)
        instance.power_state = POWER_STATE_PAUSED
        await _move(driver, other, instance)
        assert await other.power_state(instance.id) == POWER_STATE_PAUSED
        await other.destroy(instance)

    async def test_a_guest_that_was_sent_is_not_here(
        self, harness: TwoHostHarness, driver: Driver, other: Driver
    ) -> None:
        """A second call says so, and the destination has it."""
        assert isinstance(driver, LiveMigration)
        assert isinstance(other, LiveMigration)
        instance = harness.instance()
        instance.power_state = POWER_STATE_RUNNING
        await driver.spawn(instance, Boot())
        destination = await other.prepare_migration(
            instance, copy_disks=await _check(driver, other, instance)
        )
        await driver.migrate_live(instance, destination)
        with pytest.raises(NotFoundError):
            await driver.migrate_live(instance, destination)
        await other.finish_migration(instance)
        assert await other.power_state(instance.id) == POWER_STATE_RUNNING
        await other.destroy(instance)

    async def test_nothing_came(self, harness: TwoHostHarness, driver: Driver, other: Driver) -> None:
        """A guest that nobody has made ready for can't be kept."""
        assert isinstance(other, LiveMigration)
        with pytest.raises(NotFoundError):
            await other.finish_migration(harness.instance())

    async def test_roll_back(self, harness: TwoHostHarness, driver: Driver, other: Driver) -> None:
        """What was made ready goes, twice; the guest runs on at its source."""
        assert isinstance(other, LiveMigration)
        instance = harness.instance()
        instance.power_state = POWER_STATE_RUNNING
        await driver.spawn(instance, Boot())
        await other.prepare_migration(instance, copy_disks=await _check(driver, other, instance))
        for _ in range(2):
            await other.roll_back_migration(Instance(id=instance.id), remove_disks=True)
        assert await other.instances() == []
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        with pytest.raises(NotFoundError):
            await other.finish_migration(instance)
        await driver.destroy(instance)

    async def test_another_cpu(self, harness: TwoHostHarness, driver: Driver, other: Driver) -> None:
        """A guest doesn't go where its CPU isn't."""
        assert isinstance(other, LiveMigration)
        wanted = MigrationCheck('{"arch": "alpha", "vendor": "DEC", "model": "EV67"}', None)
        with pytest.raises(NotSupportedError):
            await other.check_migration(harness.instance(), wanted)

    async def test_nothing_under_way(self, harness: TwoHostHarness, driver: Driver) -> None:
        """There is nothing to force and no progress; an abort has nothing to do."""
        assert isinstance(driver, LiveMigration)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.abort_migration(instance.id)
        with pytest.raises(NotFoundError):
            await driver.force_migration(instance.id)
        with pytest.raises(NotFoundError):
            await driver.migration_progress(instance.id)
        await driver.destroy(instance)


async def _check(source: Driver, destination: Driver, instance: Instance) -> bool:
    assert isinstance(destination, LiveMigration)
    wanted = MigrationCheck((await source.inventory()).cpu_info, None)
    copied: bool = await destination.check_migration(instance, wanted)
    return copied


async def _move(source: Driver, destination: Driver, instance: Instance) -> None:
    """All of it, each call but the sending twice."""
    assert isinstance(source, LiveMigration)
    assert isinstance(destination, LiveMigration)
    copied = await _check(source, destination, instance)
    for _ in range(2):
        ready = await destination.prepare_migration(instance, copy_disks=copied)
    await source.migrate_live(instance, ready)
    for _ in range(2):
        await destination.finish_migration(instance)
    for _ in range(2):
        await source.clean_migration(Instance(id=instance.id), remove_disks=copied)

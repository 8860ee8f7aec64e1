"""Guests that get another size, and move while they are off."""

import asyncio
import uuid

import pytest

from drivers.testsuite.harness import Harness, Suite, TwoHostHarness
from drivers.virt.moves import ColdMigration, Resize
from drivers.virt.protocols import Boot, Driver, GuestState
from novamesh.failures import InvalidArgumentError, NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN, Instance
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD


def grown(instance: Instance) -> Instance:
    """The same instance with a flavor that has more of everything."""
    large = Instance()
    large.CopyFrom(instance)
    large.flavor.name = "m1.larger"
    large.flavor.vcpus += 1
    large.flavor.memory_mb += 64
    large.flavor.root_gb += 1
    large.flavor.ephemeral_gb = 1
    large.flavor.swap_mb = 8
    return large


def move(small: Instance, large: Instance, destination: str = "host1") -> Migration:
    """A new migration between two sizes; on the host itself unless another is named."""
    return Migration(
        id=str(uuid.uuid4()),
        instance_id=small.id,
        source_compute="host1",
        dest_compute=destination,
        old_flavor=small.flavor,
        new_flavor=large.flavor,
    )


class ResizeSuite(Suite):
    """The Protocol Resize."""

    async def test_resize_and_confirm(self, harness: Harness, driver: Driver) -> None:
        """A guest grows and runs on in its new size; each call twice."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        large = grown(small)
        migration = move(small, large)
        await driver.spawn(small, Boot())
        before = await harness.size(small.id)
        for _ in range(2):
            await driver.migrate_disks(small, migration)
        assert await driver.kept_guests() == [small.id]
        for _ in range(2):
            await driver.finish_resize(large, migration, power_on=True)
            assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        assert await harness.size(small.id) == (before[0] + 1, before[1] + 64, before[2] + 1)
        for _ in range(2):
            await driver.confirm_resize(large, migration)
        assert await driver.kept_guests() == []
        assert await driver.power_state(small.id) == POWER_STATE_RUNNING
        await driver.power_off(large)
        await driver.power_on(large)
        await driver.destroy(large)
        assert await harness.leftovers(small.id) == []

    async def test_resize_and_revert(self, harness: Harness, driver: Driver) -> None:
        """The guest is what it was; each call twice, and the first of the two again after the second."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        large = grown(small)
        migration = move(small, large)
        await driver.spawn(small, Boot())
        before = await harness.size(small.id)
        await driver.migrate_disks(small, migration)
        await driver.finish_resize(large, migration, power_on=True)
        for _ in range(2):
            await driver.revert_resize(large, migration)
        for _ in range(2):
            await driver.finish_revert(small, migration, power_on=True)
            assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        await driver.revert_resize(large, migration)
        assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        assert await harness.size(small.id) == before
        assert await driver.kept_guests() == []
        await driver.destroy(small)
        assert await harness.leftovers(small.id) == []

    async def test_a_stopped_guest_stays_so(self, harness: Harness, driver: Driver) -> None:
        """Resized, reverted, resized again and confirmed: it never runs until it is powered on."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        large = grown(small)
        await driver.spawn(small, Boot())
        await driver.power_off(small)
        for reverted in (True, False):
            migration = move(small, large)
            await driver.migrate_disks(small, migration)
            await driver.finish_resize(large, migration, power_on=False)
            assert await driver.instances() == [GuestState(small.id, POWER_STATE_SHUTDOWN)]
            if reverted:
                await driver.revert_resize(large, migration)
                await driver.finish_revert(small, migration, power_on=False)
            else:
                await driver.confirm_resize(large, migration)
            assert await driver.instances() == [GuestState(small.id, POWER_STATE_SHUTDOWN)]
        await driver.power_on(large)
        assert await driver.power_state(small.id) == POWER_STATE_RUNNING
        await driver.destroy(large)

    async def test_another_process_goes_on(self, harness: Harness, driver: Driver) -> None:
        """Each step may be another process's."""
        small = harness.instance()
        large = grown(small)
        migration = move(small, large)
        await driver.spawn(small, Boot())
        for step in ("migrate", "finish", "revert", "take up"):
            other = harness.make()
            await other.start()
            assert isinstance(other, Resize)
            if step == "migrate":
                await other.migrate_disks(small, migration)
            elif step == "finish":
                assert await other.kept_guests() == [small.id]
                await other.finish_resize(large, migration, power_on=True)
            elif step == "revert":
                await other.revert_resize(large, migration)
            else:
                await other.finish_revert(small, migration, power_on=True)
                assert await other.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
                await other.destroy(small)
            await other.stop()
        assert await harness.leftovers(small.id) == []

    async def test_destroy_at_any_step(self, harness: Harness, driver: Driver) -> None:
        """Nothing is left, whether the guest is kept aside, or there twice."""
        assert isinstance(driver, Resize)
        for finished in (False, True):
            small = harness.instance()
            large = grown(small)
            migration = move(small, large)
            await driver.spawn(small, Boot())
            await driver.migrate_disks(small, migration)
            if finished:
                await driver.finish_resize(large, migration, power_on=True)
            await driver.destroy(Instance(id=small.id))
            assert await driver.instances() == []
            assert await driver.kept_guests() == []
            assert await harness.leftovers(small.id) == []

    async def test_a_finish_that_is_cut_short(self, harness: Harness, driver: Driver) -> None:
        """It is taken up again, or reverted, by the next call."""
        assert isinstance(driver, Resize)
        for position in range(4):
            small = harness.instance()
            large = grown(small)
            migration = move(small, large)
            await driver.spawn(small, Boot())
            await driver.migrate_disks(small, migration)
            finish = asyncio.create_task(driver.finish_resize(large, migration, power_on=True))
            await asyncio.sleep(0.02 * position)
            finish.cancel()
            await asyncio.wait([finish])
            if position % 2:
                await driver.finish_resize(large, migration, power_on=True)
            await driver.revert_resize(large, migration)
            await driver.finish_revert(small, migration, power_on=True)
            assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
            await driver.destroy(small)
            assert await harness.leftovers(small.id) == []

    async def test_a_revert_of_what_was_never_put_aside(self, harness: Harness, driver: Driver) -> None:
        """The guest runs on as it is."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        migration = move(small, grown(small))
        await driver.spawn(small, Boot())
        await driver.revert_resize(small, migration)
        await driver.finish_revert(small, migration, power_on=True)
        assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        await driver.destroy(small)

    async def test_a_start_takes_up_what_is_kept(self, harness: Harness, driver: Driver) -> None:
        """Where neither the resize nor the way back came to an end, a hard reboot brings the guest back."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        await driver.spawn(small, Boot())
        before = await harness.size(small.id)
        await driver.migrate_disks(small, move(small, grown(small)))
        await driver.reboot(small, REBOOT_TYPE_HARD)
        assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        assert await driver.kept_guests() == []
        assert await harness.size(small.id) == before
        await driver.destroy(small)
        assert await harness.leftovers(small.id) == []

    async def test_what_an_earlier_migration_left(self, harness: Harness, driver: Driver) -> None:
        """A migration that nobody confirmed is no part of the next: its revert leads to where it began."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        large = grown(small)
        await driver.spawn(small, Boot())
        first = move(small, large)
        await driver.migrate_disks(small, first)
        await driver.finish_resize(large, first, power_on=True)
        between = await harness.size(small.id)
        larger = grown(large)
        second = move(large, larger)
        await driver.migrate_disks(large, second)
        await driver.finish_resize(larger, second, power_on=True)
        await driver.revert_resize(larger, second)
        await driver.finish_revert(large, second, power_on=True)
        assert await harness.size(small.id) == between
        assert await driver.kept_guests() == []
        await driver.destroy(large)
        assert await harness.leftovers(small.id) == []

    async def test_disks_do_not_shrink(self, harness: Harness, driver: Driver) -> None:
        """Refused, and the guest never noticed."""
        assert isinstance(driver, Resize)
        large = grown(harness.instance())
        small = Instance()
        small.CopyFrom(large)
        small.flavor.ephemeral_gb = 0
        await driver.spawn(large, Boot())
        with pytest.raises(InvalidArgumentError, match="Unable to resize disk down"):
            await driver.migrate_disks(large, move(large, small))
        small.flavor.ephemeral_gb = large.flavor.ephemeral_gb
        small.flavor.root_gb -= 1
        with pytest.raises(InvalidArgumentError, match="Unable to resize disk down"):
            await driver.migrate_disks(large, move(large, small))
        assert await driver.instances() == [GuestState(large.id, POWER_STATE_RUNNING)]
        assert await driver.kept_guests() == []
        await driver.destroy(large)

    async def test_nothing_to_finish(self, harness: Harness, driver: Driver) -> None:
        """A guest that nobody kept can't be resized."""
        assert isinstance(driver, Resize)
        small = harness.instance()
        large = grown(small)
        with pytest.raises(NotFoundError):
            await driver.migrate_disks(small, move(small, large))
        with pytest.raises(NotFoundError):
            await driver.finish_resize(large, move(small, large), power_on=True)
        assert await harness.leftovers(small.id) == []

    async def test_another_host(self, harness: Harness, driver: Driver) -> None:
        """A driver that can't send disks says so before it touches the guest."""
        assert isinstance(driver, Resize)
        if isinstance(driver, ColdMigration):
            return
        small = harness.instance()
        await driver.spawn(small, Boot())
        with pytest.raises(NotSupportedError) as caught:
            await driver.migrate_disks(small, move(small, small, "host2"))
        assert getattr(caught.value.detail, "capability", "") == "cold_migration"
        assert await driver.instances() == [GuestState(small.id, POWER_STATE_RUNNING)]
        await driver.destroy(small)


class ColdMigrationSuite(Suite):
    """The Protocol ColdMigration, and Resize between two hosts."""

    async def test_there_and_back(self, harness: TwoHostHarness, driver: Driver) -> None:
        """The guest is at its destination, and at its source again after a revert."""
        assert isinstance(driver, ColdMigration)
        assert isinstance(driver, Resize)
        instance = harness.instance()
        migration = move(instance, instance, "host2")
        await driver.spawn(instance, Boot())
        other = harness.make_other()
        await other.start()
        assert isinstance(other, Resize)
        for _ in range(2):
            await driver.migrate_disks(instance, migration)
            await driver.send_disks(instance, migration, "127.0.0.1:1")
        assert await driver.instances() == []
        for _ in range(2):
            await other.finish_resize(instance, migration, power_on=True)
        assert await other.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        for _ in range(2):
            await other.revert_resize(instance, migration)
        assert await other.instances() == []
        for _ in range(2):
            await driver.finish_revert(instance, migration, power_on=True)
        assert await driver.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
        await driver.destroy(instance)
        await other.stop()
        assert await harness.leftovers(instance.id) == []

    async def test_confirmed(self, harness: TwoHostHarness, driver: Driver) -> None:
        """Nothing is left on the source."""
        assert isinstance(driver, ColdMigration)
        assert isinstance(driver, Resize)
        instance = harness.instance()
        migration = move(instance, instance, "host2")
        await driver.spawn(instance, Boot())
        await driver.migrate_disks(instance, migration)
        await driver.send_disks(instance, migration, "127.0.0.1:1")
        for _ in range(2):
            await driver.confirm_resize(instance, migration)
        assert await driver.instances() == []
        assert await harness.leftovers(instance.id) == []

"""What else can be done to guests: disks made anew, rescues, interrupts, counters."""

import uuid

import pytest

from drivers.testsuite.harness import Harness, Suite, wait_for
from drivers.virt.guest_protocols import GuestDiagnostics, Nmi, Rebuild
from drivers.virt.protocols import Boot, Console, Driver, Rescue
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN, Instance
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, RescueArguments


def own_image(instance: Instance) -> RescueArguments:
    """A rescue from the image that the instance was built from."""
    return RescueArguments(
        image_id=instance.image_id, kernel_id=instance.kernel_id, ramdisk_id=instance.ramdisk_id
    )


class RebuildSuite(Suite):
    """The Protocol Rebuild."""

    async def test_rebuild(self, harness: Harness, driver: Driver) -> None:
        """Twice, whether the guest runs, is off, or lost."""
        assert isinstance(driver, Rebuild)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.rebuild(instance, Boot())
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.power_off(instance)
        await driver.rebuild(instance, Boot(), preserve_ephemeral=True)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.power_off(instance)
        await harness.forget_guest(instance.id)
        await driver.rebuild(instance, Boot())
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []

    async def test_rebuild_of_a_guest_that_stays_off(self, harness: Harness, driver: Driver) -> None:
        """It is off afterwards, and starts when it is asked to."""
        assert isinstance(driver, Rebuild)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.rebuild(instance, Boot(), power_on=False)
            assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
        await driver.power_on(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_rebuild_without_its_image(self, harness: Harness, driver: Driver) -> None:
        """The guest is left as it is."""
        assert isinstance(driver, Rebuild)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        other = Instance()
        other.CopyFrom(instance)
        other.image_id = str(uuid.uuid4())
        with pytest.raises(NotFoundError):
            await driver.rebuild(other, Boot())
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)


class RescueSuite(Suite):
    """The Protocol Rescue."""

    async def test_rescue_and_unrescue(self, harness: Harness, driver: Driver) -> None:
        """Each twice, with another process in between."""
        assert isinstance(driver, Rescue)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.rescue(instance, own_image(instance), Boot())
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        other = harness.make()
        await other.start()
        assert isinstance(other, Rescue)
        for _ in range(2):
            await other.unrescue(instance)
            assert await other.power_state(instance.id) == POWER_STATE_RUNNING
        await other.destroy(instance)
        await other.stop()
        assert await harness.leftovers(instance.id) == []

    async def test_rescue_of_a_guest_that_is_off(self, harness: Harness, driver: Driver) -> None:
        """It runs, rescued; and goes with all that the rescue made."""
        assert isinstance(driver, Rescue)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.power_off(instance)
        await driver.rescue(instance, own_image(instance), Boot())
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []

    async def test_unrescue_of_a_rescue_that_ended(self, harness: Harness, driver: Driver) -> None:
        """A rescued guest that has powered itself off is started as before."""
        assert isinstance(driver, Rescue)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.rescue(instance, own_image(instance), Boot())
        await driver.power_off(instance)
        await driver.unrescue(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_hard_reboot_ends_a_rescue(self, harness: Harness, driver: Driver) -> None:
        """It runs as before, and can be rescued again."""
        assert isinstance(driver, Rescue)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.rescue(instance, own_image(instance), Boot())
            await driver.reboot(instance, REBOOT_TYPE_HARD)
            assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []

    async def test_rescue_without_its_image(self, harness: Harness, driver: Driver) -> None:
        """The guest is left as it is."""
        assert isinstance(driver, Rescue)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        with pytest.raises(NotFoundError):
            await driver.rescue(instance, RescueArguments(image_id=str(uuid.uuid4())), Boot())
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)


class NmiSuite(Suite):
    """The Protocol Nmi."""

    async def test_nmi(self, harness: Harness, driver: Driver) -> None:
        """The guest's kernel says that it came."""
        assert isinstance(driver, Nmi)
        assert isinstance(driver, Console)
        console = driver
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        await driver.inject_nmi(instance)

        async def seen() -> bool:
            return b"NMI received" in await console.console_output(instance.id)

        await wait_for(seen, "the guest tells of the interrupt")
        await driver.destroy(instance)

    async def test_nmi_without_a_guest(self, harness: Harness, driver: Driver) -> None:
        """Says that it isn't there."""
        assert isinstance(driver, Nmi)
        with pytest.raises(NotFoundError):
            await driver.inject_nmi(harness.instance())


class DiagnosticsSuite(Suite):
    """The Protocol GuestDiagnostics."""

    async def test_diagnostics(self, harness: Harness, driver: Driver) -> None:
        """A guest that has started has used its processor and its disk."""
        assert isinstance(driver, GuestDiagnostics)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        found = await driver.diagnostics(instance.id)
        assert found.power_state == POWER_STATE_RUNNING
        assert found.driver
        assert found.hypervisor
        assert found.hypervisor_os
        assert found.memory.maximum_kib > 0
        assert len(found.cpus) == instance.flavor.vcpus
        assert all(cpu.time_ns > 0 for cpu in found.cpus)
        assert found.disks[0].read_bytes > 0
        assert found.disks[0].device
        assert all(nic.mac_address and nic.device for nic in found.nics)
        await driver.power_off(instance)
        found = await driver.diagnostics(instance.id)
        assert found.power_state == POWER_STATE_SHUTDOWN
        assert not found.cpus
        await driver.destroy(instance)

    async def test_diagnostics_without_a_guest(self, harness: Harness, driver: Driver) -> None:
        """Says that it isn't there."""
        assert isinstance(driver, GuestDiagnostics)
        with pytest.raises(NotFoundError):
            await driver.diagnostics(harness.instance().id)

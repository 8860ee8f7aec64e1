"""What drivers report, and what they may be able to do."""

import json

import pytest

from drivers.testsuite.harness import Harness, Suite, wait_for
from drivers.virt.protocols import Boot, Console, Driver, GuestState, Suspend, capabilities
from novamesh.failures import NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN, POWER_STATE_SUSPENDED


class InventorySuite(Suite):
    """The Protocol Inventory."""

    async def test_inventory(self, driver: Driver) -> None:
        """The host has something, and says what the driver can do."""
        inventory = await driver.inventory()
        assert inventory.vcpus > 0
        assert inventory.memory_mb > 0
        assert inventory.disk_gb > 0
        assert 0 <= inventory.disk_available_gb <= inventory.disk_gb
        assert inventory.hypervisor_type
        assert inventory.hypervisor_version > 0
        assert inventory.hypervisor_hostname
        assert isinstance(json.loads(inventory.cpu_info), dict)
        assert all(kind.count(",") == 2 for kind in inventory.supported_instances)
        assert inventory.supported_instances
        assert list(inventory.capabilities) == capabilities(driver)

    async def test_empty_host(self, driver: Driver) -> None:
        """Nobody is there."""
        assert await driver.instances() == []


class SuspendSuite(Suite):
    """The Protocol Suspend."""

    async def test_suspend_and_resume(self, harness: Harness, driver: Driver) -> None:
        """Each twice, with another process in between."""
        assert isinstance(driver, Suspend)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for _ in range(2):
            await driver.suspend(instance)
            assert await driver.power_state(instance.id) == POWER_STATE_SUSPENDED
        other = harness.make()
        await other.start()
        assert isinstance(other, Suspend)
        assert await other.instances() == [GuestState(instance.id, POWER_STATE_SUSPENDED)]
        for _ in range(2):
            await other.resume(instance)
            assert await other.power_state(instance.id) == POWER_STATE_RUNNING
        await other.stop()
        await driver.destroy(instance)

    async def test_destroy_of_a_suspended_guest(self, harness: Harness, driver: Driver) -> None:
        """Its saved memory goes with it."""
        assert isinstance(driver, Suspend)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.suspend(instance)
        await driver.destroy(instance)
        assert await harness.leftovers(instance.id) == []

    async def test_power_off_of_a_suspended_guest(self, harness: Harness, driver: Driver) -> None:
        """It is off then, and what it had in memory is lost."""
        assert isinstance(driver, Suspend)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await driver.suspend(instance)
        await driver.power_off(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_SHUTDOWN
        await driver.power_on(instance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)

    async def test_missing_guest(self, harness: Harness, driver: Driver) -> None:
        """Both say that it isn't there."""
        assert isinstance(driver, Suspend)
        instance = harness.instance()
        with pytest.raises(NotFoundError):
            await driver.suspend(instance)
        with pytest.raises(NotFoundError):
            await driver.resume(instance)


class ConsoleSuite(Suite):
    """The Protocol Console."""

    async def test_output(self, harness: Harness, driver: Driver) -> None:
        """What the guest printed can be read, in full or the end of it, and after it was powered off."""
        assert isinstance(driver, Console)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        await driver.power_off(instance)
        output = await driver.console_output(instance.id)
        assert output
        assert await driver.console_output(instance.id, 1) == output.splitlines(keepends=True)[-1]
        assert len(output) <= 100 * 1024
        await driver.destroy(instance)

    async def test_output_outlives_starts(self, harness: Harness, driver: Driver) -> None:
        """A later start adds to what an earlier one printed."""
        assert isinstance(driver, Console)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        await harness.ready(driver, instance)
        await driver.power_off(instance)
        before = await driver.console_output(instance.id)
        await driver.power_on(instance)

        async def grown() -> bool:
            return len(await driver.console_output(instance.id)) > len(before)

        await wait_for(grown, "the second start prints")
        assert (await driver.console_output(instance.id)).startswith(before)
        await driver.destroy(instance)

    async def test_endpoint(self, harness: Harness, driver: Driver) -> None:
        """Somewhere a graphical console listens, while the guest runs."""
        assert isinstance(driver, Console)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        endpoint = await driver.console_endpoint(instance.id, "vnc")
        assert endpoint.kind == "vnc"
        assert endpoint.host
        assert 0 < endpoint.port < 65536
        await driver.destroy(instance)

    async def test_unknown_kind(self, harness: Harness, driver: Driver) -> None:
        """A kind that there isn't is said to be not supported."""
        assert isinstance(driver, Console)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        with pytest.raises(NotSupportedError):
            await driver.console_endpoint(instance.id, "serial")
        await driver.destroy(instance)

    async def test_missing_guest(self, harness: Harness, driver: Driver) -> None:
        """Both say that it isn't there."""
        assert isinstance(driver, Console)
        instance = harness.instance()
        with pytest.raises(NotFoundError):
            await driver.console_output(instance.id)
        with pytest.raises(NotFoundError):
            await driver.console_endpoint(instance.id, "vnc")

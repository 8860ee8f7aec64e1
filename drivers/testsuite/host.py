"""What drivers do with their host beyond its guests."""

import pytest

from drivers.testsuite.harness import Harness, Suite
from drivers.virt.protocols import Boot, Driver, HostPower, HostPowerAction, ImagePrecaching
from novamesh.failures import ImageUnacceptableError, NotFoundError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING


class HostPowerSuite(Suite):
    """The Protocol HostPower. For hosts that may really go away, run it where that does no harm."""

    @pytest.mark.parametrize("action", ["startup", "reboot", "shutdown"])
    async def test_power_action(self, driver: Driver, action: HostPowerAction) -> None:
        """Each twice."""
        assert isinstance(driver, HostPower)
        for _ in range(2):
            await driver.run_host_power_action(action)

    async def test_maintenance(self, harness: Harness, driver: Driver) -> None:
        """On and off, each twice; a guest that was there is there."""
        assert isinstance(driver, HostPower)
        instance = harness.instance()
        await driver.spawn(instance, Boot())
        for maintenance in (True, True, False, False):
            await driver.set_host_maintenance(maintenance)
        assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
        await driver.destroy(instance)


class ImagePrecachingSuite(Suite):
    """The Protocol ImagePrecaching."""

    async def test_cached_once(self, harness: Harness, driver: Driver) -> None:
        """Fetched the first time, there the second time, the image service away or not."""
        assert isinstance(driver, ImagePrecaching)
        image_id = harness.instance().image_id or harness.images.add(b"image")
        assert await driver.cache_image(image_id) is True
        harness.images.available = False
        assert await driver.cache_image(image_id) is False

    async def test_images_that_cannot_be_had(self, harness: Harness, driver: Driver) -> None:
        """Each says why, and the next attempt may be a good one."""
        assert isinstance(driver, ImagePrecaching)
        gone, queued, good = harness.images.add(b"x"), harness.images.add_queued(), harness.images.add(b"y")
        harness.images.remove(gone)
        with pytest.raises(NotFoundError):
            await driver.cache_image(gone)
        with pytest.raises(ImageUnacceptableError):
            await driver.cache_image(queued)
        harness.images.available = False
        with pytest.raises(UnavailableError):
            await driver.cache_image(good)
        harness.images.available = True
        assert await driver.cache_image(good) is True

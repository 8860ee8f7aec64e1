"""Cached images that nobody uses are removed now and then."""

from drivers.virt.fake.driver import FakeDriver
from novamesh.failures import DriverFailureError
from services.compute.image_cache import ImageCacheKeeper
from tests.compute_cloud import until


class CachingDriver(FakeDriver):
    """A fake with a cache that can't be read at first."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def remove_unused_images(self) -> list[str]:
        self.looks += 1
        if self.looks == 1:
            raise DriverFailureError("fake", "look at the cache", "no")
        return ["image"]


async def test_the_cache_is_looked_after_again_and_again() -> None:
    driver = CachingDriver()
    keeper = ImageCacheKeeper(driver, 0.001)
    keeper.start()
    await until(lambda: driver.looks > 3)
    await keeper.stop()
    looks = driver.looks
    await keeper.stop()
    assert driver.looks == looks


async def test_a_driver_without_a_cache_and_an_interval_of_0_are_left_alone() -> None:
    for keeper in (ImageCacheKeeper(FakeDriver(), 0.001), ImageCacheKeeper(CachingDriver(), 0)):
        keeper.start()
        assert keeper._task is None
        await keeper.stop()

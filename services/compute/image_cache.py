"""Has the driver look, now and then, for cached images that no guest uses any more."""

import asyncio

import structlog

from drivers.virt import Driver, ImageCaching
from novamesh.failures import Failure

log = structlog.get_logger("novamesh.compute")


class ImageCacheKeeper:
    """Does nothing for drivers without a cache, and for an interval of 0. `interval` is in seconds."""

    def __init__(self, driver: Driver, interval: float) -> None:
        self._driver = driver
        self._interval = interval
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the background."""
        if self._interval > 0 and isinstance(self._driver, ImageCaching):
            self._task = asyncio.create_task(self._look_for_ever(self._driver), name="look after image cache")

    async def stop(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _look_for_ever(self, driver: ImageCaching) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                removed = await driver.remove_unused_images()
            except (Failure, OSError) as failure:
                log.warning("image cache not looked after", why=str(failure))
                continue
            except Exception:
                log.exception("image cache not looked after")
                continue
            if removed:
                log.info("cached images removed", images=removed)

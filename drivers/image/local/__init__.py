"""The local image driver: data in files, records in the conductor."""

from drivers.image.local.driver import LocalImageDriver
from drivers.image.local.options import LocalImageOptions

__all__ = ["LocalImageDriver", "LocalImageOptions"]

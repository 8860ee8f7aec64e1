"""The Glance driver: images in an OpenStack Image service."""

from drivers.image.glance.driver import GlanceImageDriver
from drivers.image.glance.options import GlanceOptions

__all__ = ["GlanceImageDriver", "GlanceOptions"]

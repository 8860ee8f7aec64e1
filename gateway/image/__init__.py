"""The Image API (Glance v2): REST in, gRPC to the image role out."""

from gateway.image.app import build_image_app
from gateway.image.options import ImageApiOptions

__all__ = ["ImageApiOptions", "build_image_app"]

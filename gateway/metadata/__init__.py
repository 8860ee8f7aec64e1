"""What guests find at 169.254.169.254. See docs/roles/metadata.md."""

from gateway.metadata.app import build_metadata_app
from gateway.metadata.listeners import open_listeners
from gateway.metadata.options import MetadataApiOptions

__all__ = ["MetadataApiOptions", "build_metadata_app", "open_listeners"]

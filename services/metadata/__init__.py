"""The metadata role: what a guest may know of itself. See docs/roles/metadata.md."""

from services.metadata.options import MetadataOptions
from services.metadata.role import MetadataRole

__all__ = ["MetadataOptions", "MetadataRole"]

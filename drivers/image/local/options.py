"""Options of the local image driver, Glance's names where Glance has them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LocalImageOptions:
    """Section [glance_store] of the configuration."""

    filesystem_store_datadir: Path
    """Folder of the images' data. One file an image, named by its id; uploads under way are in `incoming/`.
    Several image roles may share it when its file system has locks (flock) that all of them see."""

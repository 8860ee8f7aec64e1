"""An image service in memory, which can be corrupt, slow or away."""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from novamesh.failures import NotFoundError, UnavailableError
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, IMAGE_STATUS_QUEUED, Image

_CHUNK = 256 * 1024


class MemoryImages:
    """An `ImageSource` that tests fill and break."""

    def __init__(self) -> None:
        self._records: dict[str, Image] = {}
        self._data: dict[str, bytes | Path] = {}
        self.available = True
        """False makes every call fail as an image service does that is down."""
        self.downloads = 0
        """How often data was asked for."""
        self.gate = asyncio.Event()
        """While it isn't set, data stops after the first chunk."""
        self.gate.set()

    def add(self, data: bytes | Path, disk_format: str = "raw", corrupt: bool = False) -> str:
        """Add an image and return its id. A corrupt one has a digest that isn't that of its data."""
        content = data if isinstance(data, bytes) else data.read_bytes()
        digest = hashlib.sha512(content + b"!" if corrupt else content).hexdigest()
        image = Image(
            id=str(uuid.uuid4()),
            status=IMAGE_STATUS_ACTIVE,
            disk_format=disk_format,
            container_format="bare",
            size=len(content),
            os_hash_algo="sha512",
            os_hash_value=digest,
        )
        self._records[image.id] = image
        self._data[image.id] = data
        return image.id

    def add_sparse(self, size: int) -> str:
        """Add an image that has `size` bytes by its record, and no data."""
        image_id = self.add(b"")
        self._records[image_id].size = size
        return image_id

    def forget_size(self, image_id: str) -> None:
        """Make the record say nothing of the data's size."""
        self._records[image_id].size = 0

    def add_queued(self) -> str:
        """Add an image whose data never came."""
        image_id = self.add(b"")
        self._records[image_id].status = IMAGE_STATUS_QUEUED
        return image_id

    def remove(self, image_id: str) -> None:
        """Delete an image."""
        del self._records[image_id], self._data[image_id]

    async def get(self, image_id: str) -> Image:
        """The record."""
        if not self.available:
            raise UnavailableError("image", "The image service doesn't answer.")
        if image_id not in self._records:
            raise NotFoundError("image", image_id)
        return self._records[image_id]

    async def open(self, image_id: str) -> AsyncIterator[bytes]:
        """The data."""
        await self.get(image_id)
        self.downloads += 1
        data = self._data[image_id]
        content = data if isinstance(data, bytes) else await asyncio.to_thread(data.read_bytes)
        for start in range(0, len(content), _CHUNK):
            if start:
                await self.gate.wait()
            yield content[start : start + _CHUNK]

"""Images on this host's disk, fetched once and kept for all guests.

    <folder>/<image id>            the data: raw, or qcow2 where conversion is off
    <folder>/<image id>.json       its format and size; written last, so an entry without it is no entry
    <folder>/<image id>.<n>.part   being fetched

A guest holds on to an entry by a hard link in its own folder, so removing an
entry never breaks a guest, and an entry with one link has no guest.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import structlog

from drivers.virt.protocols import ImageSource, Progress, no_progress
from drivers.virt.qemu_img import QemuImg, disk_failure
from novamesh.failures import DriverFailureError, ImageUnacceptableError, ResourceExhaustedError
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, Image

_log = structlog.get_logger("novamesh.image_cache")

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
# Formats that are a plain row of bytes.
_PLAIN = frozenset({"raw", "ami", "aki", "ari", "iso"})
# How images that aren't plain begin, to catch those that are said to be.
_MAGIC = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"vhdxfile": "vhdx", b"conectix": "vhd", b"QED\0": "qed"}
_BATCH = 1024 * 1024
# docs/interop/qcow2.txt of QEMU.
_QCOW2_HEADER = 104
_QCOW2_EXTERNAL_DATA = 1 << 2


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image on the disk of this host."""

    path: Path
    disk_format: str
    """raw or qcow2."""
    virtual_size: int
    """Bytes that a guest sees."""


@dataclass(slots=True)
class _Download:
    """One download under way, and those who wait for it."""

    task: asyncio.Task[CachedImage]
    listeners: list[Progress]


class ImageCache:
    """Images in one folder, which no other process may use."""

    def __init__(self, folder: Path, source: ImageSource, qemu_img: QemuImg, force_raw: bool = True) -> None:
        self.folder = folder
        self._source = source
        self._qemu_img = qemu_img
        self._force_raw = force_raw
        self._downloads: dict[str, _Download] = {}
        self._serial = 0

    async def start(self) -> None:
        """Make the folder and remove what a crash left half-way."""
        await asyncio.to_thread(self._sweep)

    async def fetch(
        self, image_id: str, limit: int | None = None, progress: Progress = no_progress
    ) -> CachedImage:
        """The image, from the cache or the source. Callers at the same time share one download.

        `limit` is the largest virtual size in bytes that is of use. Raises
        ImageUnacceptableError (checksum, size, format, status),
        ResourceExhaustedError("disk"), and what the source raises.
        """
        if not _ID.fullmatch(image_id):
            raise ImageUnacceptableError(image_id, "format", f"{image_id!r} is not an image's id.")
        cached = self._lookup(image_id)
        if cached is None:
            cached = await self._join(image_id, limit, progress)
        if limit is not None and cached.virtual_size > limit:
            raise _too_large(image_id, cached.virtual_size, limit)
        return cached

    async def precache(self, image_id: str) -> bool:
        """Have the image here before a guest needs it. True when it was fetched now, False when it was
        there.

        Raises what `fetch` raises.
        """
        if _ID.fullmatch(image_id) and self._lookup(image_id) is not None:
            return False
        await self.fetch(image_id)
        return True

    async def remove_unused(self, minimum_age: float) -> list[str]:
        """Remove images that no guest holds and none asked for in `minimum_age` seconds; return their ids."""
        return await asyncio.to_thread(self._remove_unused, minimum_age)

    async def _join(self, image_id: str, limit: int | None, progress: Progress) -> CachedImage:
        download = self._downloads.get(image_id)
        if download is None:
            image = await self._source.get(image_id)
            # A qcow2 may be smaller or larger than the disk in it: its own size says nothing.
            size = image.virtual_size or (image.size if image.disk_format in _PLAIN else 0)
            if limit is not None and size > limit:
                raise _too_large(image_id, size, limit)
            # Somebody else may have begun while the record was on its way.
            download = self._downloads.get(image_id)
        if download is None:
            listeners: list[Progress] = []
            download = _Download(asyncio.create_task(self._download(image, listeners)), listeners)
            self._downloads[image_id] = download
            download.task.add_done_callback(lambda task: self._forget(image_id, task))
        download.listeners.append(progress)
        try:
            return await asyncio.shield(download.task)
        except asyncio.CancelledError:
            if not download.task.done() and len(download.listeners) == 1:
                download.task.cancel()
                await asyncio.wait([download.task])
            raise
        finally:
            download.listeners.remove(progress)

    def _forget(self, image_id: str, task: asyncio.Task[CachedImage]) -> None:
        self._downloads.pop(image_id, None)
        # Looked at here, since whoever waited may be gone, and asyncio complains of failures nobody saw.
        if not task.cancelled():
            task.exception()

    async def _download(self, image: Image, listeners: list[Progress]) -> CachedImage:
        """Fetch, verify, convert, publish."""
        if image.status != IMAGE_STATUS_ACTIVE:
            raise ImageUnacceptableError(
                image.id, "status", f"Image {image.id} has no data that can be used."
            )
        disk_format = image.disk_format or "raw"
        if disk_format not in _PLAIN and disk_format != "qcow2":
            raise ImageUnacceptableError(
                image.id,
                "format",
                f"Image {image.id} is {disk_format}; this driver takes raw, qcow2 and ami.",
            )
        started = time.monotonic()
        part, converted = self._part(image.id), self._part(image.id)
        try:
            await self._receive(image, part, listeners)
            entry = await self._inspect(image, part, disk_format)
            if entry.disk_format == "qcow2" and self._force_raw:
                for tell in tuple(listeners):
                    tell("converting image", 0)
                await self._qemu_img.convert(part, "qcow2", converted, "raw")
                entry = CachedImage(converted, "raw", entry.virtual_size)
            cached = await asyncio.to_thread(self._publish, image.id, entry)
        except OSError as error:
            raise disk_failure("image_cache", "fetch the image", error) from error
        finally:
            await asyncio.to_thread(_remove, part, converted)
        _log.info(
            "fetched image", image=image.id, bytes=image.size, seconds=round(time.monotonic() - started, 3)
        )
        return cached

    async def _receive(self, image: Image, part: Path, listeners: list[Progress]) -> None:
        """Write the data to `part`; raise unless it is what the record says."""
        free = os.statvfs(self.folder)
        if image.size > free.f_bavail * free.f_frsize:
            raise ResourceExhaustedError(
                "disk", f"Image {image.id} has {image.size} bytes, more than is free."
            )
        digest, expected = _digest(image)
        received = 0
        reported = -1
        with part.open("wb") as file:
            async for batch in _batches(self._source.open(image.id)):
                received += len(batch)
                if image.size and received > image.size:
                    break
                await asyncio.to_thread(_write, file, digest, batch)
                percent = received * 100 // image.size if image.size else 0
                if percent != reported:
                    reported = percent
                    for tell in tuple(listeners):
                        tell("downloading image", percent)
            await asyncio.to_thread(os.fsync, file.fileno())
        if image.size and received != image.size:
            raise ImageUnacceptableError(
                image.id,
                "checksum",
                f"Image {image.id} has {image.size} bytes by its record, {received} came.",
            )
        if digest is not None and digest.hexdigest() != expected:
            raise ImageUnacceptableError(
                image.id, "checksum", f"Image {image.id} is corrupt: its digest is not that of its record."
            )

    async def _inspect(self, image: Image, part: Path, disk_format: str) -> CachedImage:
        """Refuse data that isn't of its format, and images that lead QEMU to other files of this host."""
        head, size = await asyncio.to_thread(_head, part)
        if disk_format in _PLAIN:
            for magic, actual in _MAGIC.items():
                if head.startswith(magic):
                    raise ImageUnacceptableError(
                        image.id, "format", f"Image {image.id} is said to be {disk_format}, but is {actual}."
                    )
            return CachedImage(part, "raw", size)
        if disk_format == "qcow2" and _needs_another_file(head):
            # Found here and not by qemu-img, since old ones open the file to tell of it.
            raise ImageUnacceptableError(
                image.id, "format", f"Image {image.id} has its data in another file, which is not allowed."
            )
        try:
            info = await self._qemu_img.info(part, disk_format)
        except DriverFailureError as failure:
            raise ImageUnacceptableError(
                image.id, "format", f"Image {image.id} is no sound {disk_format}: {failure.message}"
            ) from failure
        for found, what in (
            (info.backing_file, "a backing file"),
            (info.data_file, "an external data file"),
            (info.encrypted, "encryption"),
        ):
            if found:
                raise ImageUnacceptableError(
                    image.id, "format", f"Image {image.id} has {what}, which is not allowed."
                )
        return CachedImage(part, info.disk_format, info.virtual_size)

    def _lookup(self, image_id: str) -> CachedImage | None:
        path = self.folder / image_id
        try:
            entry = json.loads(self._note(image_id).read_bytes())
            # The time of the last use, for remove_unused.
            os.utime(path)
        except (OSError, ValueError):
            return None
        return CachedImage(path, entry["disk_format"], entry["virtual_size"])

    def _publish(self, image_id: str, entry: CachedImage) -> CachedImage:
        path = self.folder / image_id
        with entry.path.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(entry.path, 0o644)
        entry.path.replace(path)
        cached = CachedImage(path, entry.disk_format, entry.virtual_size)
        note = self._part(image_id)
        content = asdict(cached) | {"path": path.name}
        with note.open("w") as text:
            json.dump(content, text)
            text.flush()
            os.fsync(text.fileno())
        note.replace(self._note(image_id))
        return cached

    def _remove_unused(self, minimum_age: float) -> list[str]:
        removed = []
        oldest = time.time() - minimum_age
        for note in self.folder.glob("*.json"):
            path = note.with_suffix("")
            try:
                status = path.stat()
            except FileNotFoundError:
                note.unlink(missing_ok=True)
                continue
            if status.st_nlink == 1 and status.st_mtime <= oldest and path.name not in self._downloads:
                _remove(note, path)
                removed.append(path.name)
        return removed

    def _sweep(self) -> None:
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path in self.folder.iterdir():
            if path.suffix == ".part" or (path.suffix == "" and not self._note(path.name).exists()):
                path.unlink()

    def _part(self, image_id: str) -> Path:
        self._serial += 1
        return self.folder / f"{image_id}.{self._serial}.part"

    def _note(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.json"


async def _batches(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in fewer pieces: each costs a hop to a thread."""
    gathered: list[bytes] = []
    size = 0
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(chunks, "aclose"):
            stack.push_async_callback(chunks.aclose)
        async for chunk in chunks:
            gathered.append(chunk)
            size += len(chunk)
            if size >= _BATCH:
                yield b"".join(gathered)
                gathered, size = [], 0
        if gathered:
            yield b"".join(gathered)


def _digest(image: Image) -> tuple[_Hash | None, str]:
    """What to hash the data with, and what has to come out; None when the record has no digest."""
    if image.os_hash_value and image.os_hash_algo in hashlib.algorithms_available:
        return hashlib.new(image.os_hash_algo), image.os_hash_value.lower()
    if image.checksum:
        return hashlib.md5(usedforsecurity=False), image.checksum.lower()
    return None, ""


def _head(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(_QCOW2_HEADER), os.fstat(file.fileno()).st_size


def _needs_another_file(head: bytes) -> bool:
    """True when a qcow2's header names a backing file, or says that the data is elsewhere."""
    if len(head) < _QCOW2_HEADER:
        return False
    _, version, backing = struct.unpack_from(">IIQ", head)
    (incompatible,) = struct.unpack_from(">Q", head, 72)
    return bool(backing or (version >= 3 and incompatible & _QCOW2_EXTERNAL_DATA))


def _write(file: BinaryIO, digest: _Hash | None, batch: bytes) -> None:
    file.write(batch)
    if digest is not None:
        digest.update(batch)


def _remove(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _too_large(image_id: str, size: int, limit: int) -> ImageUnacceptableError:
    return ImageUnacceptableError(
        image_id, "size", f"Image {image_id} needs {size} bytes, and the flavor's root disk has {limit}."
    )

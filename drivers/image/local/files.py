"""Images' data as files in one folder.

An upload is written to `incoming/<image id>.<random>`, synced, and renamed to
`<image id>`: a name in the folder is always a whole image. While it is written
the file is locked (flock), and the kernel drops the lock with the process; a
file in `incoming/` that nobody holds is what a crash left.

A deletion first leaves a mark in `removed/`, so that what a crash leaves of it
can be told from data whose record is missing for another reason (a database
restored from a backup, or the wrong one): that is never deleted here.
"""

import asyncio
import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from drivers.image import CHUNK_BYTES, Upload
from drivers.image.formats import Inspector
from novamesh.failures import ImageUnacceptableError, ResourceExhaustedError, UnavailableError

HASH_ALGORITHM = "sha512"
_THREADS = 6

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Stored:
    """What is known of data once it is on disk. Sizes in bytes, digests in hexadecimal."""

    size: int
    virtual_size: int
    md5: str
    sha512: str


class ImageFiles:
    """The folder. Blocking work runs in threads of its own, a few at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._removed = folder / "removed"
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="image-files")

    def prepare(self) -> set[str]:
        """Make the folders and drop uploads that nobody holds.

        Returns the ids of images whose uploads are under way in other processes.
        Raises UnavailableError when the folder can't be used.
        """
        try:
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._removed.mkdir(exist_ok=True)
            under_way = set()
            for path in self._incoming.iterdir():
                if _is_locked(path):
                    under_way.add(path.name.partition(".")[0])
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise UnavailableError(
                "image folder", f"The folder of images {self._folder} can't be used: {error.strerror}."
            ) from error
        return under_way

    def is_uploading(self, image_id: str) -> bool:
        """True while some process holds an upload of this image."""
        return any(_is_locked(p) for p in [*self._incoming.glob(f"{image_id}.*"), self._path(image_id)])

    def mark(self, image_id: str) -> None:
        """Note that an image is about to be deleted."""
        (self._removed / image_id).touch()

    def unmark(self, image_id: str) -> None:
        """The image was not deleted, or is gone altogether."""
        (self._removed / image_id).unlink(missing_ok=True)

    def marked(self) -> list[str]:
        """The images whose deletion was begun and not ended."""
        return [p.name for p in self._removed.iterdir()]

    def remove(self, image_id: str) -> None:
        """Drop an image's data. Data that isn't there is no failure; downloads under way go on."""
        self._path(image_id).unlink(missing_ok=True)
        self.unmark(image_id)

    def inode(self, image_id: str) -> int:
        """The number of the file that holds the data; 0 for none."""
        try:
            return self._path(image_id).stat().st_ino
        except FileNotFoundError:
            return 0

    def remove_inode(self, image_id: str, inode: int) -> None:
        """Drop an image's data if it still is in this very file."""
        if inode and self.inode(image_id) == inode:
            self._path(image_id).unlink(missing_ok=True)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in one of this folder's threads."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, functools.partial(work, *args, **kwargs)
        )

    @contextlib.asynccontextmanager
    async def incoming(self, upload: Upload) -> AsyncIterator["IncomingFile"]:
        """A locked file for one upload; gone afterwards unless it was kept."""
        incoming = await self.run(IncomingFile, self, upload)
        try:
            yield incoming
        finally:
            # Not awaited through a cancellation: two system calls that don't wait for the disk.
            incoming.close()

    def paths(self, image_id: str) -> tuple[Path, Path]:
        """Where an upload of this image is written, and where it ends."""
        return self._incoming / f"{image_id}.{secrets.token_hex(6)}", self._path(image_id)

    def _path(self, image_id: str) -> Path:
        return self._folder / image_id

    async def read(self, image_id: str, offset: int, length: int) -> AsyncIterator[bytes]:
        """Yield `length` bytes from `offset` on, the next chunk being read while one is used.

        Raises ImageUnacceptableError when the file isn't there or ends early.
        """
        try:
            descriptor = await self.run(os.open, self._path(image_id), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise ImageUnacceptableError(
                image_id, "data", f"The data of image {image_id} is missing from the store."
            ) from error
        ahead: asyncio.Future[bytes] | None = None
        try:
            end = offset + length
            ahead = self._read_ahead(descriptor, offset, end)
            while ahead is not None:
                chunk = await ahead
                if not chunk:
                    raise ImageUnacceptableError(
                        image_id, "data", f"The data of image {image_id} ends early."
                    )
                offset += len(chunk)
                ahead = self._read_ahead(descriptor, offset, end)
                yield chunk
        finally:
            if ahead is not None and not ahead.done():
                await asyncio.wait([ahead])
            os.close(descriptor)

    def _read_ahead(self, descriptor: int, offset: int, end: int) -> "asyncio.Future[bytes] | None":
        if offset >= end:
            return None
        return asyncio.get_running_loop().run_in_executor(
            self._threads, os.pread, descriptor, min(CHUNK_BYTES, end - offset), offset
        )


class IncomingFile:
    """One upload on its way to the disk."""

    def __init__(self, files: ImageFiles, upload: Upload) -> None:
        self._files = files
        self._upload = upload
        self._id = upload.image.id
        self._temporary, self._final = files.paths(self._id)
        self._kept = False
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._inspector = Inspector(upload.image.disk_format)
        self._size = 0
        self._descriptor = os.open(
            self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640
        )
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    async def fill(self, data: AsyncIterator[bytes]) -> Stored:
        """Write everything that comes, check it, sync it and give it its final name."""
        busy: asyncio.Future[None] | None = None
        try:
            self._check_room()
            async for chunk in data:
                self._admit(chunk)
                if busy is not None:
                    await busy
                busy = asyncio.ensure_future(self._take(chunk))
            if busy is not None:
                await busy
            return await self._finish()
        except OSError as error:
            raise _disk_failure(error) from error
        finally:
            if busy is not None and not busy.done():
                # A thread may still be writing: the descriptor must outlive it.
                await asyncio.wait([busy])

    def close(self) -> None:
        """Unlock, and drop the file unless it has its final name."""
        if not self._kept:
            self._temporary.unlink(missing_ok=True)
        os.close(self._descriptor)

    def discard(self) -> None:
        """Drop the data although it has its final name: its record is gone."""
        self._final.unlink(missing_ok=True)

    async def _take(self, chunk: bytes) -> None:
        # MD5 beside SHA-512 and the write: the three release the interpreter, and a core each helps.
        await asyncio.gather(
            self._files.run(self._md5.update, chunk), self._files.run(self._hash_and_write, chunk)
        )

    def _hash_and_write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._sha512.update(chunk)

    def _admit(self, chunk: bytes) -> None:
        self._size += len(chunk)
        limit = self._upload.max_bytes
        if limit and self._size > limit:
            raise ResourceExhaustedError("image_size", f"The image is larger than the {limit} bytes allowed.")
        if self._upload.size is not None and self._size > self._upload.size:
            raise self._wrong_size()
        self._inspector.feed(chunk)

    def _check_room(self) -> None:
        """Refuse at once what can't fit, rather than after filling the disk."""
        size = self._upload.size
        if size is None:
            return
        limit = self._upload.max_bytes
        if limit and size > limit:
            raise ResourceExhaustedError("image_size", f"The image is larger than the {limit} bytes allowed.")
        room = os.fstatvfs(self._descriptor)
        if size > room.f_bavail * room.f_frsize:
            raise ResourceExhaustedError("disk", "The image service's disk has no room for this image.")

    def _wrong_size(self) -> ImageUnacceptableError:
        return ImageUnacceptableError(
            self._id, "size", f"{self._upload.size} bytes were announced, {self._size} or more came."
        )

    async def _finish(self) -> Stored:
        virtual_size = self._inspector.finish()
        if self._upload.size is not None and self._size != self._upload.size:
            raise ImageUnacceptableError(
                self._id, "size", f"{self._upload.size} bytes were announced, {self._size} came."
            )
        md5 = self._md5.hexdigest()
        if self._upload.checksum and md5 != self._upload.checksum.lower():
            raise ImageUnacceptableError(self._id, "checksum", "The data's MD5 is not the one announced.")
        await self._files.run(self._keep)
        return Stored(self._size, virtual_size, md5, self._sha512.hexdigest())

    def _keep(self) -> None:
        os.fsync(self._descriptor)
        os.rename(self._temporary, self._final)
        self._kept = True
        folder = os.open(self._final.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _disk_failure(error: OSError) -> Exception:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ResourceExhaustedError("disk", "The image service's disk is full.")
    if error.errno == errno.EFBIG:
        return ResourceExhaustedError("image_size", "The image is larger than the file system allows.")
    return UnavailableError("image folder", f"The image could not be written: {error.strerror}.")

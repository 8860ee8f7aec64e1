"""Disk images, made and looked at by the programs that know them: qemu-img, mkfs, mkswap.

An image from a user is hostile until looked at. So the format is always given,
never guessed: a raw disk whose first bytes say qcow2 stays a raw disk.
Inspection and conversion run under limits of memory and processor time.
"""

import asyncio
import errno
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from novamesh.failures import DriverFailureError, Failure, ResourceExhaustedError, UnavailableError

GIB = 1024**3
MIB = 1024**2

# Nova's own limits for qemu-img info: an image can be made so that reading its tables takes for ever.
_INFO_LIMITS = (f"--as={GIB}", "--cpu=30")

_PACKAGES = {
    "qemu-img": "qemu-utils",
    "mkfs.ext4": "e2fsprogs",
    "mkswap": "util-linux",
    "prlimit": "util-linux",
    "genisoimage": "genisoimage",
}


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What qemu-img says of an image."""

    disk_format: str
    virtual_size: int
    """Bytes that a guest sees."""
    backing_file: str
    """Image that this one needs below it; empty for none."""
    data_file: str
    """File that holds its data; empty for itself."""
    encrypted: bool


class QemuImg:
    """Runs the programs, a bounded number at a time. `owner` is the driver's name for failures."""

    def __init__(self, owner: str, concurrency: int = 2) -> None:
        self._owner = owner
        self._places = asyncio.Semaphore(concurrency)

    async def info(self, path: Path, disk_format: str, *, in_use: bool = False) -> ImageInfo:
        """Look at an image, as the format given; `in_use` for one that a guest may be writing.

        Raises DriverFailureError when it isn't one.
        """
        look = ("qemu-img", "info", "--output=json", *(("-U",) if in_use else ()))
        printed = await self.run("prlimit", *_INFO_LIMITS, *look, "-f", disk_format, str(path))
        entry: Mapping[str, Any] = json.loads(printed)
        specific: Mapping[str, Any] = entry.get("format-specific", {}).get("data", {})
        return ImageInfo(
            disk_format=entry["format"],
            virtual_size=entry["virtual-size"],
            backing_file=entry.get("backing-filename", ""),
            data_file=specific.get("data-file", ""),
            encrypted=bool(entry.get("encrypted", False)),
        )

    async def convert(self, source: Path, source_format: str, target: Path, target_format: str) -> None:
        """Write `source` anew in another format, holes left out."""
        await self.run(
            "qemu-img", "convert", "-f", source_format, "-O", target_format, str(source), str(target)
        )

    async def create_overlay(self, base: Path, base_format: str, target: Path, size: int) -> None:
        """Make a qcow2 of `size` bytes on `base`, which it names without a folder when both are in one."""
        backing = base.name if base.parent == target.parent else str(base)
        await self.run(
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-F",
            base_format,
            "-b",
            backing,
            str(target),
            str(size),
        )

    async def copy(self, source: Path, target: Path) -> None:
        """Copy a disk as it is, holes left out; without copying anything where the file system can share."""
        await self.run("cp", "--reflink=auto", "--sparse=always", str(source), str(target))

    async def grow(self, path: Path, disk_format: str, size: int) -> None:
        """Make a disk `size` bytes long; its content stays."""
        await self.run("qemu-img", "resize", "-q", "-f", disk_format, str(path), str(size))

    async def make_ext4(self, path: Path, size: int, label: str) -> None:
        """Make a sparse raw disk with an empty ext4."""
        await asyncio.to_thread(_make_sparse, path, size)
        await self.run("mkfs.ext4", "-q", "-F", "-L", label, str(path))

    async def make_swap(self, path: Path, size: int) -> None:
        """Make a sparse raw disk to swap on."""
        await asyncio.to_thread(_make_sparse, path, size)
        await self.run("mkswap", str(path))

    async def run(self, *command: str) -> bytes:
        """Run a program and return what it prints.

        Raises UnavailableError when it is missing, ResourceExhaustedError("disk")
        when it says that the disk is full, DriverFailureError with its last words otherwise.
        """
        async with self._places:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    env=_environment(),
                )
            except FileNotFoundError:
                package = _PACKAGES.get(command[0], command[0])
                raise UnavailableError(
                    command[0], f"{command[0]} is missing: apt-get install {package}"
                ) from None
            try:
                printed, complaint = await process.communicate()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
        if process.returncode == 0:
            return printed
        words = complaint.decode(errors="replace").strip()
        if "No space left on device" in words or "Disk quota exceeded" in words:
            raise ResourceExhaustedError("disk", f"{command[0]}: {words}")
        raise DriverFailureError(
            self._owner, command[0], f"{command[0]} ended with {process.returncode}: {words}"
        )


def disk_failure(owner: str, action: str, error: OSError) -> Failure:
    """What an error of the file system is to callers: a full disk, or a failure of `owner`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return ResourceExhaustedError("disk", f"The disk is full, so {owner} could not {action}: {error}")
    return DriverFailureError(owner, action, f"{owner} could not {action}: {error}")


def _environment() -> dict[str, str]:
    """The programs' words are looked at, so they have to be English; mkfs is often outside a user's PATH."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    return {"PATH": path, "LC_ALL": "C"}


def _make_sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)

"""How fast image data moves, in how much memory, beside what the disk and the digests give bare.

python -m bench.images [--megabytes 512] [--folder DIR]

Client, gateway, role and records share this process and its interpreter, so the
figures are what one core's worth of Python gives; memory is the whole process's.
"""

import argparse
import hashlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvloop
from aiohttp import ClientSession, web

from bench.bare import print_bare
from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    DownloadImageRequest,
    UploadImageRequest,
    UploadStart,
)
from novamesh.types.v1.image_pb2 import Image
from services.mesh import calling_as
from tests.image_cloud import ONE, ImageCloud, image_cloud

MEGABYTE = 1 << 20
RECORD = Image(name="bench", disk_format="raw", container_format="bare")


def resident() -> int:
    """Resident memory of this process in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MEGABYTE


class Transfer:
    """Times one transfer and watches memory; prints MiB/s, the fraction of `bare`, and the growth."""

    def __init__(self, name: str, megabytes: int, bare: float = 0.0) -> None:
        self.name, self.megabytes, self.bare = name, megabytes, bare
        self.rate = 0.0
        self._done = threading.Event()

    def __enter__(self) -> "Transfer":
        self._before = self._peak = resident()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.rate = self.megabytes / (time.perf_counter() - self._started)
        self._done.set()
        self._watcher.join()
        of_bare = f"{self.rate / self.bare:5.2f} of bare" if self.bare else ""
        print(f"{self.name:24} {self.rate:7.0f} MiB/s  {of_bare:14} +{self._peak - self._before} MiB")

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._peak = max(self._peak, resident())


def bare_write(folder: Path, megabytes: int, block: bytes) -> float:
    """Write, digest and sync without novamesh, one thread."""
    with Transfer("bare write and digests", megabytes) as transfer:
        md5, sha512 = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        with (folder / "bare").open("wb", buffering=0) as file:
            for _ in range(megabytes):
                file.write(block)
                md5.update(block)
                sha512.update(block)
            os.fsync(file.fileno())
    return transfer.rate


def bare_read(folder: Path, megabytes: int) -> float:
    """Read without novamesh, one thread."""
    with Transfer("bare read", megabytes) as transfer, (folder / "bare").open("rb", buffering=0) as file:
        while file.read(MEGABYTE):
            pass
    (folder / "bare").unlink()
    return transfer.rate


async def over_mesh(cloud: ImageCloud, kind: str, block: bytes, bare: tuple[int, float, float]) -> str:
    """Upload and download over the contract; the image's id."""
    megabytes, written, read = bare
    with calling_as(ONE):
        image_id = (await cloud.images.CreateImage(CreateImageRequest(image=RECORD))).image.id

        async def data() -> AsyncIterator[UploadImageRequest]:
            yield UploadImageRequest(start=UploadStart(image_id=image_id, size=megabytes * MEGABYTE))
            for _ in range(megabytes):
                yield UploadImageRequest(chunk=block)

        with Transfer(f"{kind} upload", megabytes, written):
            await cloud.images.UploadImage(data(), timeout=3600)
        size = 0
        with Transfer(f"{kind} download", megabytes, read):
            stream = cloud.images.DownloadImage(DownloadImageRequest(image_id=image_id), timeout=3600)
            async for message in stream:
                size += len(message.chunk)
        assert size == megabytes * MEGABYTE
    return image_id


async def over_rest(cloud: ImageCloud, block: bytes, bare: tuple[int, float, float]) -> None:
    """Upload and download over the Image API."""
    megabytes, written, read = bare
    runner = web.AppRunner(cloud.app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def data() -> AsyncIterator[bytes]:
        for _ in range(megabytes):
            yield block

    async with ClientSession(url, headers={"X-Auth-Token": "one"}) as session:
        body = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
        async with session.post("/v2/images", json=body) as response:
            path = (await response.json())["file"]
        octets = {"Content-Type": "application/octet-stream"}
        with Transfer("REST upload", megabytes, written):
            async with session.put(path, data=data(), headers=octets) as response:
                response.raise_for_status()
        size = 0
        with Transfer("REST download", megabytes, read):
            async with session.get(path) as response:
                async for chunk in response.content.iter_any():
                    size += len(chunk)
        assert size == megabytes * MEGABYTE
    await runner.cleanup()


async def run(folder: Path, megabytes: int) -> None:
    """Everything, in memory and over the wire."""
    block = os.urandom(MEGABYTE)
    bare = (megabytes, bare_write(folder, megabytes, block), bare_read(folder, megabytes))
    for kind, wire in (("in memory", False), ("over mTLS", True)):
        (folder / kind).mkdir()
        async with image_cloud(folder / kind, wire=wire) as cloud:
            await over_mesh(cloud, kind, block, bare)
            if not wire:
                await over_rest(cloud, block, bare)


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=512, help="size of the image in MiB")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    uvloop.run(print_bare())
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        uvloop.run(run(Path(folder), arguments.megabytes))


if __name__ == "__main__":
    main()

"""The image cache, with real qemu-img and an image service in memory."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from drivers.testsuite import MemoryImages
from drivers.virt.image_cache import ImageCache
from drivers.virt.qemu_img import QemuImg
from novamesh.failures import ImageUnacceptableError, NotFoundError, UnavailableError

MIB = 1024**2


@pytest.fixture
def images() -> MemoryImages:
    return MemoryImages()


@pytest.fixture
async def cache(tmp_path: Path, images: MemoryImages) -> ImageCache:
    cache = ImageCache(tmp_path / "_base", images, QemuImg("test"))
    await cache.start()
    return cache


def qcow2(folder: Path, *options: str, size: str = "8M") -> bytes:
    path = folder / "made.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *options, str(path), size], check=True)
    return path.read_bytes()


async def refused(cache: ImageCache, image_id: str, limit: int | None = None) -> str:
    with pytest.raises(ImageUnacceptableError) as caught:
        await cache.fetch(image_id, limit)
    return str(getattr(caught.value.detail, "problem", ""))


async def test_fetches_once(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(os.urandom(3 * MIB))
    steps: list[tuple[str, int]] = []
    first = await cache.fetch(image_id, progress=lambda step, percent: steps.append((step, percent)))
    assert (first.disk_format, first.virtual_size) == ("raw", 3 * MIB)
    assert steps[-1] == ("downloading image", 100)
    # An entry is used without asking the image service, even when that is away.
    images.available = False
    assert await cache.fetch(image_id) == first
    assert images.downloads == 1


async def test_another_process_finds_it(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(bytes(MIB))
    first = await cache.fetch(image_id)
    (cache.folder / f"{image_id}.7.part").write_bytes(b"half")
    (cache.folder / "0000").write_bytes(b"published without its note")
    again = ImageCache(cache.folder, images, QemuImg("test"))
    await again.start()
    assert sorted(path.name for path in cache.folder.iterdir()) == [image_id, f"{image_id}.json"]
    assert await again.fetch(image_id) == first


async def test_requests_at_once_share_a_download(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(bytes(2 * MIB))
    images.gate.clear()
    fetches = [asyncio.create_task(cache.fetch(image_id)) for _ in range(5)]
    await asyncio.sleep(0.02)
    # Who goes away doesn't take the download along.
    fetches[0].cancel()
    await asyncio.wait(fetches[:1])
    images.gate.set()
    found = await asyncio.gather(*fetches[1:])
    assert len(set(found)) == 1
    assert images.downloads == 1


async def test_the_last_who_goes_ends_the_download(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(bytes(2 * MIB))
    images.gate.clear()
    fetch = asyncio.create_task(cache.fetch(image_id))
    await asyncio.sleep(0.02)
    fetch.cancel()
    await asyncio.wait([fetch])
    assert list(cache.folder.iterdir()) == []
    images.gate.set()
    await cache.fetch(image_id)


async def test_converts_qcow2(cache: ImageCache, images: MemoryImages, tmp_path: Path) -> None:
    cached = await cache.fetch(images.add(qcow2(tmp_path), "qcow2"))
    assert (cached.disk_format, cached.virtual_size) == ("raw", 8 * MIB)
    assert cached.path.stat().st_size == 8 * MIB


async def test_keeps_qcow2(images: MemoryImages, tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "_base", images, QemuImg("test"), force_raw=False)
    await cache.start()
    data = qcow2(tmp_path)
    cached = await cache.fetch(images.add(data, "qcow2"))
    assert (cached.disk_format, cached.virtual_size) == ("qcow2", 8 * MIB)
    assert cached.path.read_bytes() == data


async def test_refuses_corrupt_data(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(bytes(MIB), corrupt=True)
    assert await refused(cache, image_id) == "checksum"
    assert list(cache.folder.iterdir()) == []


async def test_refuses_what_is_larger_than_the_disk(
    cache: ImageCache, images: MemoryImages, tmp_path: Path
) -> None:
    assert await refused(cache, images.add(bytes(2 * MIB)), MIB) == "size"
    assert images.downloads == 0
    # The size of the disk inside a qcow2 is known when it has come; it is kept for those with a larger disk.
    image_id = images.add(qcow2(tmp_path), "qcow2")
    assert await refused(cache, image_id, MIB) == "size"
    await cache.fetch(image_id, 8 * MIB)
    assert images.downloads == 1


@pytest.mark.parametrize(
    "options",
    [("-b", "/etc/passwd", "-F", "raw", "-u"), ("-o", "data_file=secret.raw")],
    ids=["backing", "data"],
)
async def test_refuses_images_that_name_other_files(
    cache: ImageCache,
    images: MemoryImages,
    tmp_path: Path,
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert await refused(cache, images.add(qcow2(tmp_path, *options), "qcow2")) == "format"
    assert list(cache.folder.iterdir()) == []


async def test_refuses_what_is_not_of_its_format(
    cache: ImageCache, images: MemoryImages, tmp_path: Path
) -> None:
    assert await refused(cache, images.add(qcow2(tmp_path), "raw")) == "format"
    assert await refused(cache, images.add(bytes(MIB), "qcow2")) == "format"
    assert await refused(cache, images.add(bytes(MIB), "vmdk")) == "format"
    assert await refused(cache, "../../etc/passwd") == "format"
    assert list(cache.folder.iterdir()) == []


async def test_image_service_fails(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(bytes(MIB))
    images.available = False
    with pytest.raises(UnavailableError):
        await cache.fetch(image_id)
    images.available = True
    images.remove(image_id)
    with pytest.raises(NotFoundError):
        await cache.fetch(image_id)


async def test_removes_what_nobody_uses(cache: ImageCache, images: MemoryImages, tmp_path: Path) -> None:
    used, unused, recent = (images.add(os.urandom(10)) for _ in range(3))
    for image_id in (used, unused, recent):
        path = (await cache.fetch(image_id)).path
        if image_id != recent:
            os.utime(path, (0, 0))
    os.link(cache.folder / used, tmp_path / "guest")
    assert await cache.remove_unused(3600) == [unused]
    assert sorted(path.name for path in cache.folder.glob("*.json")) == sorted(
        [f"{used}.json", f"{recent}.json"]
    )


async def test_precached_before_anybody_asks(cache: ImageCache, images: MemoryImages) -> None:
    image_id = images.add(os.urandom(MIB))
    assert await cache.precache(image_id) is True
    images.available = False
    assert await cache.precache(image_id) is False
    assert (await cache.fetch(image_id)).virtual_size == MIB
    with pytest.raises(ImageUnacceptableError):
        await cache.precache("../etc/passwd")

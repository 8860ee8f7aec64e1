"""Images that a new cloud starts with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.seed_images import ImageSeed, seed_image, seed_triple
from novamesh.image.v1.image_service_pb2 import CreateImageRequest, ListImagesRequest
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, IMAGE_VISIBILITY_PUBLIC, Image
from novamesh.types.v1.image_query_pb2 import ImageQuery
from services.mesh import calling_as
from tests.image_cloud import ONE, ImageCloud, image_cloud

if TYPE_CHECKING:
    from novamesh.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[ImageCloud]:
    async with image_cloud(tmp_path) as cloud:
        yield cloud


@asynccontextmanager
async def administrator(cloud: ImageCloud) -> AsyncIterator["ImageServiceAsyncStub"]:
    node = await cloud.node.peer("admin")
    yield ImageServiceStub(node.channel("image"))


async def seen(cloud: ImageCloud, **query: object) -> list[Image]:
    """What an ordinary user's list shows."""
    with calling_as(ONE):
        asked = ListImagesRequest(query=ImageQuery(hidden=False, **query))  # type: ignore[arg-type]
        return list((await cloud.images.ListImages(asked)).images)


async def test_seeding_twice_makes_one_image(cloud: ImageCloud, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"a disk")
    seed = ImageSeed("tiny", tmp_path / "disk", "raw", min_disk_gb=1, properties={"os_type": "linux"})
    async with administrator(cloud) as images:
        first = await seed_image(images, seed)
        assert await seed_image(images, seed) == first
    assert first.status == IMAGE_STATUS_ACTIVE
    assert first.visibility == IMAGE_VISIBILITY_PUBLIC
    assert await seen(cloud) == [first]


async def test_a_broken_seeding_is_finished(cloud: ImageCloud, tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"a disk")
    seed = ImageSeed("tiny", tmp_path / "missing", "raw")
    async with administrator(cloud) as images:
        with pytest.raises(FileNotFoundError, match="missing"):
            await seed_image(images, seed)
        assert await seen(cloud) == []
        seed = ImageSeed("tiny", tmp_path / "disk", "raw")
        made = await seed_image(images, seed)
    assert made.size == 6


async def test_new_data_takes_the_name(cloud: ImageCloud, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    async with administrator(cloud) as images:
        disk.write_bytes(b"old")
        old = await seed_image(images, ImageSeed("tiny", disk, "raw"))
        disk.write_bytes(b"new")
        new = await seed_image(images, ImageSeed("tiny", disk, "raw"))
        assert await seen(cloud, names=["tiny"]) == [new]
        disk.write_bytes(b"old")
        back = await seed_image(images, ImageSeed("tiny", disk, "raw"))
    assert back.id == old.id
    assert [image.id for image in await seen(cloud, names=["tiny"])] == [old.id]


async def test_others_images_of_the_name_stay(cloud: ImageCloud, tmp_path: Path) -> None:
    with calling_as(ONE):
        theirs = (await cloud.images.CreateImage(CreateImageRequest(image=Image(name="tiny")))).image
    (tmp_path / "disk").write_bytes(b"a disk")
    async with administrator(cloud) as images:
        await seed_image(images, ImageSeed("tiny", tmp_path / "disk", "raw"))
    assert theirs in await seen(cloud)


async def test_a_triple(cloud: ImageCloud, tmp_path: Path) -> None:
    for name in ("kernel", "ramdisk", "root"):
        (tmp_path / name).write_bytes(name.encode())
    async with administrator(cloud) as images:
        seed = ImageSeed("tiny", tmp_path / "root", "ami")
        made = await seed_triple(images, seed, tmp_path / "kernel", tmp_path / "ramdisk")
        assert await seed_triple(images, seed, tmp_path / "kernel", tmp_path / "ramdisk") == made
    by_id = {image.id: image for image in await seen(cloud)}
    assert len(by_id) == 3
    assert by_id[made.properties["kernel_id"]].disk_format == "aki"
    assert by_id[made.properties["ramdisk_id"]].container_format == "ari"

"""An image service that dies in the middle of an upload."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from drivers.image import Upload
from drivers.image.local import LocalImageDriver, LocalImageOptions
from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceStub
from novamesh.conductor.v1.image_service_pb2 import UpdateImageRequest, UpdateImageResponse
from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceStub as ImageRecordStub
from novamesh.failures import DeadlineExceededError, UnavailableError
from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    GetImageRequest,
    UploadImageRequest,
    UploadStart,
)
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, IMAGE_STATUS_QUEUED, Image
from services.mesh import calling_as
from tests.image_cloud import ONE, ImageCloud, image_cloud

if TYPE_CHECKING:
    from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceAsyncStub

pytestmark = pytest.mark.fault


async def create(cloud: ImageCloud) -> str:
    record = Image(name="x", disk_format="raw", container_format="bare")
    return (await cloud.images.CreateImage(CreateImageRequest(image=record))).image.id


async def upload_for_ever(folder: Path) -> None:
    """What the killed process runs: prints the image's id once its record says saving."""
    async with image_cloud(folder) as cloud:
        with calling_as(ONE):
            image_id = await create(cloud)

            async def endless() -> AsyncIterator[UploadImageRequest]:
                yield UploadImageRequest(start=UploadStart(image_id=image_id))
                yield UploadImageRequest(chunk=bytes(1 << 20))
                while len(list((folder / "images" / "incoming").iterdir())) == 0:
                    await asyncio.sleep(0.01)
                (folder / "started").write_text(image_id)
                await asyncio.Event().wait()

            await cloud.images.UploadImage(endless(), timeout=600)


async def settled(cloud: ImageCloud, image_id: str) -> int:
    """The image's status once recovery is through."""
    for _ in range(500):
        with calling_as(ONE):
            status = (await cloud.images.GetImage(GetImageRequest(image_id=image_id))).image.status
        if status == IMAGE_STATUS_QUEUED:
            break
        await asyncio.sleep(0.01)
    return status


async def test_kill_in_the_middle_of_an_upload(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib, sys; from tests.faults.test_image_uploads import upload_for_ever; "
        "asyncio.run(upload_for_ever(pathlib.Path(sys.argv[1])))"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(tmp_path), stdout=asyncio.subprocess.DEVNULL
    )
    started = tmp_path / "started"
    while not started.exists() or not started.read_text():
        assert process.returncode is None
        await asyncio.sleep(0.02)
    image_id = started.read_text()
    incoming = tmp_path / "images" / "incoming"
    # A second image service on the same folder leaves an upload alone that is under way.
    async with image_cloud(tmp_path):
        assert len(list(incoming.iterdir())) == 1
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    async with image_cloud(tmp_path) as cloud:
        assert await settled(cloud, image_id) == IMAGE_STATUS_QUEUED
        assert list(incoming.iterdir()) == []

        async def whole() -> AsyncIterator[UploadImageRequest]:
            yield UploadImageRequest(start=UploadStart(image_id=image_id, size=1))
            yield UploadImageRequest(chunk=b"x")

        with calling_as(ONE):
            done = (await cloud.images.UploadImage(whole())).image
        assert done.status == IMAGE_STATUS_ACTIVE


async def test_a_deletion_is_ended_and_unknown_data_kept(tmp_path: Path) -> None:
    async with image_cloud(tmp_path):
        pass
    half_deleted, unknown = "7e5c9a8e-0000-4000-8000-000000000000", "7e5c9a8e-0000-4000-8000-000000000001"
    for name in (half_deleted, f"removed/{half_deleted}", unknown):
        (tmp_path / "images" / name).write_bytes(b"data")
    async with image_cloud(tmp_path) as cloud:
        await cloud.driver.recover()
    left = [p for p in (tmp_path / "images").rglob("*") if p.is_file()]
    assert left == [tmp_path / "images" / unknown]


async def test_an_upload_that_runs_out_of_time(tmp_path: Path) -> None:
    async with image_cloud(tmp_path) as cloud, asyncio.timeout(60):
        with calling_as(ONE):
            image_id = await create(cloud)

            async def slow() -> AsyncIterator[UploadImageRequest]:
                yield UploadImageRequest(start=UploadStart(image_id=image_id))
                yield UploadImageRequest(chunk=b"x")
                await asyncio.Event().wait()

            with pytest.raises(DeadlineExceededError):
                await cloud.images.UploadImage(slow(), timeout=0.3)
        assert await settled(cloud, image_id) == IMAGE_STATUS_QUEUED
        assert [p for p in cloud.folder.rglob("*") if p.is_file()] == []


async def test_a_full_disk(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "small"
        folder.mkdir()
        mounted = await asyncio.create_subprocess_exec(
            "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)
        )
        assert await mounted.wait() == 0, "this test needs root: it mounts a small tmpfs"
        stack.callback(os.system, f"umount {folder}")
        (tmp_path / "images").symlink_to(folder)
        async with image_cloud(tmp_path) as cloud:
            with calling_as(ONE):
                image_id = await create(cloud)

                async def large() -> AsyncIterator[UploadImageRequest]:
                    yield UploadImageRequest(start=UploadStart(image_id=image_id))
                    for _ in range(4):
                        yield UploadImageRequest(chunk=os.urandom(1 << 20))

                with pytest.raises(Exception, match="disk is full"):
                    await cloud.images.UploadImage(large(), timeout=60)
                assert await settled(cloud, image_id) == IMAGE_STATUS_QUEUED
            assert [p for p in folder.rglob("*") if p.is_file()] == []


class RecordsAway:
    """Records that don't answer while `away`; `deaf` ones write, but the answer gets lost."""

    def __init__(self, records: "ImageServiceAsyncStub") -> None:
        self._records = records
        self.GetImage = records.GetImage
        self.ListImages = records.ListImages
        self.away = False
        self.deaf = False

    async def UpdateImage(self, request: UpdateImageRequest, timeout: float) -> UpdateImageResponse:
        """As in the contract, or UnavailableError."""
        if self.away:
            raise UnavailableError("conductor", "The conductor is away.")
        answer = await self._records.UpdateImage(request, timeout=timeout)
        if self.deaf:
            raise UnavailableError("conductor", "The answer was lost.")
        return answer


@pytest.mark.parametrize("deaf", [False, True])
async def test_a_conductor_that_goes_away_in_an_upload(tmp_path: Path, deaf: bool) -> None:
    async with image_cloud(tmp_path) as cloud:
        with calling_as(ONE):
            image_id = await create(cloud)
        node = await cloud.node.peer("image")
        records = RecordsAway(ImageRecordStub(node.channel("conductor")))
        driver = LocalImageDriver(
            LocalImageOptions(tmp_path / "images"),
            cast("ImageServiceAsyncStub", records),
            ImageMemberServiceStub(node.channel("conductor")),
        )
        await driver.start()

        async def data() -> AsyncIterator[bytes]:
            yield b"x"
            records.away, records.deaf = not deaf, deaf

        with pytest.raises(UnavailableError):
            await driver.upload(Upload(await driver.get(image_id), 1), data())
        records.away = records.deaf = False
        if deaf:
            # It had become active: nobody takes that back.
            await driver.recover()
            assert (await driver.get(image_id)).status == IMAGE_STATUS_ACTIVE
            assert (cloud.folder / image_id).read_bytes() == b"x"
        else:
            assert await settled(cloud, image_id) == IMAGE_STATUS_QUEUED
            async with asyncio.timeout(60):
                while (cloud.folder / image_id).exists():
                    await asyncio.sleep(0.01)
        await driver.stop()

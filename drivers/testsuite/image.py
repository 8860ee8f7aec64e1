"""The conformance suite for image drivers, for those in this tree and others.

Give pytest a fixture `driver` that yields a started ImageDriver with no images,
and a class:

    from drivers.testsuite.image import ImageDriverSuite

    class TestMyDriver(ImageDriverSuite): ...
"""

import asyncio
import hashlib
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from drivers.image import Change, ImageDriver, Listing, MemberDriver, Upload
from novamesh.failures import (
    AlreadyExistsError,
    Failure,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from novamesh.types.v1.image_member_pb2 import (
    IMAGE_MEMBER_STATUS_ACCEPTED,
    IMAGE_MEMBER_STATUS_PENDING,
    IMAGE_MEMBER_STATUS_REJECTED,
)
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_ACTIVE,
    IMAGE_STATUS_DEACTIVATED,
    IMAGE_STATUS_QUEUED,
    IMAGE_VISIBILITY_COMMUNITY,
    IMAGE_VISIBILITY_PRIVATE,
    IMAGE_VISIBILITY_PUBLIC,
    IMAGE_VISIBILITY_SHARED,
    Image,
)
from novamesh.types.v1.image_query_pb2 import IMAGE_SORT_KEY_NAME, ImageQuery, ImageSort

ONE, TWO = "10000000000000000000000000000001", "20000000000000000000000000000002"
# Seconds that a driver may take to take an upload back.
_PATIENCE = 10.0


def new_image(**fields: Any) -> Image:
    """A record to be."""
    given = {"name": "x", "disk_format": "raw", "container_format": "bare", "owner": ONE, **fields}
    return Image(
        id=str(uuid.uuid4()),
        status=IMAGE_STATUS_QUEUED,
        visibility=given.pop("visibility", IMAGE_VISIBILITY_SHARED),
        **given,
    )


async def chunks(data: bytes, size: int = 100_000) -> AsyncIterator[bytes]:
    """Data in pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(driver: ImageDriver, image: Image, offset: int = 0, length: int | None = None) -> bytes:
    """A whole download."""
    pieces = driver.download(image, offset, image.size - offset if length is None else length)
    return b"".join([piece async for piece in pieces])


async def waiting(driver: ImageDriver, image_id: str) -> None:
    """Return when the image is queued again; fail when it doesn't become so."""
    async with asyncio.timeout(_PATIENCE):
        while (await driver.get(image_id)).status != IMAGE_STATUS_QUEUED:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)


async def upload_when_possible(driver: ImageDriver, image: Image, data: bytes) -> Image:
    """Upload, again while a store that is far away still cleans up after the upload before."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                return await driver.upload(Upload(image, len(data)), chunks(data))
            except ImageUnacceptableError:
                await asyncio.sleep(0.05)


class ImageDriverSuite:
    """What every image driver does."""

    async def test_is_a_driver(self, driver: ImageDriver) -> None:
        """It has the methods of both Protocols."""
        assert isinstance(driver, ImageDriver)
        assert isinstance(driver.members, MemberDriver)
        assert driver.name

    async def test_records(self, driver: ImageDriver) -> None:
        """Create, get, update, delete."""
        image = new_image(min_disk_gb=2, min_ram_mb=3, tags=["a"], properties={"os_type": "linux"})
        made = await driver.create(image, "")
        assert made == await driver.get(image.id)
        assert (made.name, made.owner, made.status) == ("x", ONE, IMAGE_STATUS_QUEUED)
        assert (made.min_disk_gb, made.min_ram_mb) == (2, 3)
        assert made.properties == {"os_type": "linux"}
        assert made.HasField("created_at")
        new = Image(name="y", tags=["b", "c"], properties={"hw_disk_bus": "virtio"}, min_disk_gb=4)
        paths = ["name", "tags", "properties", "min_disk_gb"]
        changed = await driver.update(Change(image.id, new, paths))
        assert (changed.name, list(changed.tags), changed.min_disk_gb) == ("y", ["b", "c"], 4)
        assert changed.properties == {"hw_disk_bus": "virtio"}
        assert (changed.min_ram_mb, changed.owner) == (3, ONE)
        await driver.delete(image.id)
        with pytest.raises(NotFoundError):
            await driver.get(image.id)
        with pytest.raises(NotFoundError):
            await driver.delete(image.id)

    async def test_ids_are_taken_once(self, driver: ImageDriver) -> None:
        """The same id is refused, the same request answered again."""
        image = new_image()
        made = await driver.create(image, f"request-{image.id}")
        assert await driver.create(image, f"request-{image.id}") == made
        with pytest.raises(AlreadyExistsError):
            await driver.create(image, "")

    async def test_protected(self, driver: ImageDriver) -> None:
        """A protected image can't be deleted."""
        image = await driver.create(new_image(protected=True), "")
        with pytest.raises(PermissionDeniedError):
            await driver.delete(image.id)
        await driver.update(Change(image.id, Image(protected=False), ["protected"]))
        await driver.delete(image.id)

    @pytest.mark.parametrize("known", [True, False])
    async def test_data(self, driver: ImageDriver, known: bool) -> None:
        """There and back, whole and in part, with a size announced and without."""
        data = os.urandom(2_500_000)
        image = await driver.create(new_image(), "")
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        upload = Upload(image, len(data) if known else None, md5)
        done = await driver.upload(upload, chunks(data))
        assert (done.status, done.size) == (IMAGE_STATUS_ACTIVE, len(data))
        assert done.checksum == md5
        assert done.os_hash_value == hashlib.new(done.os_hash_algo, data).hexdigest()
        assert await driver.get(image.id) == done
        assert await read(driver, done) == data
        assert await read(driver, done, 2_000_001) == data[2_000_001:]
        assert await read(driver, done, 7, 1_100_000) == data[7:1_100_007]
        with pytest.raises(ImageUnacceptableError):
            await driver.upload(upload, chunks(data))
        assert await read(driver, done) == data
        await driver.delete(image.id)

    async def test_broken_uploads(self, driver: ImageDriver) -> None:
        """Whatever breaks, the image is queued again, and the next upload succeeds."""
        image = await driver.create(new_image(), "")

        async def breaking() -> AsyncIterator[bytes]:
            yield bytes(300_000)
            raise InvalidArgumentError("chunk", "the caller broke")

        with pytest.raises(InvalidArgumentError, match="the caller broke"):
            await driver.upload(Upload(image), breaking())
        await waiting(driver, image.id)
        with pytest.raises(ImageUnacceptableError) as short:
            await driver.upload(Upload(image, 10), chunks(b"12345"))
        assert short.value.detail.problem == "size"  # type: ignore[attr-defined]
        await waiting(driver, image.id)
        with pytest.raises(ImageUnacceptableError) as other:
            await driver.upload(Upload(image, 5, "0" * 32), chunks(b"12345"))
        assert other.value.detail.problem == "checksum"  # type: ignore[attr-defined]
        await waiting(driver, image.id)
        with pytest.raises(ResourceExhaustedError):
            await driver.upload(Upload(image, max_bytes=400_000), chunks(bytes(500_000)))
        await waiting(driver, image.id)
        assert (await upload_when_possible(driver, image, b"12345")).size == 5

    async def test_a_cancelled_upload(self, driver: ImageDriver) -> None:
        """A caller that goes away leaves the image queued."""
        image = await driver.create(new_image(), "")
        started = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield bytes(300_000)
            started.set()
            await asyncio.Event().wait()
            yield b""

        task = asyncio.create_task(driver.upload(Upload(image), endless()))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await waiting(driver, image.id)

    async def test_formats_are_checked(self, driver: ImageDriver) -> None:
        """Data of another format than the record's is refused."""
        image = await driver.create(new_image(disk_format="qcow2"), "")
        with pytest.raises(InvalidArgumentError):
            await driver.upload(Upload(image, 200_000), chunks(bytes(200_000)))
        await waiting(driver, image.id)

    async def test_deactivation(self, driver: ImageDriver) -> None:
        """Active and deactivated, to and fro; not from queued."""
        image = await driver.create(new_image(), "")
        with pytest.raises(ImageUnacceptableError):
            await driver.set_active(image.id, False)
        await driver.upload(Upload(image), chunks(b"12345"))
        assert (await driver.set_active(image.id, False)).status == IMAGE_STATUS_DEACTIVATED
        assert (await driver.set_active(image.id, True)).status == IMAGE_STATUS_ACTIVE

    async def test_lists(self, driver: ImageDriver) -> None:
        """Filters, order, and pages that hold every image once."""
        made = [
            await driver.create(new_image(name=f"n{n}", tags=["odd"] if n % 2 else [], owner=ONE), "")
            for n in range(5)
        ]
        by_name = [ImageSort(key=IMAGE_SORT_KEY_NAME)]

        async def names(**query: Any) -> list[str]:
            page = await driver.list_images(Listing(ImageQuery(sorts=by_name, **query), all_projects=True))
            return [image.name for image in page.images]

        assert await names() == ["n0", "n1", "n2", "n3", "n4"]
        assert await names(names=["n1", "n3"]) == ["n1", "n3"]
        assert await names(ids=[made[2].id]) == ["n2"]
        assert await names(tags=["odd"]) == ["n1", "n3"]
        assert await names(owner=TWO) == []
        seen: list[str] = []
        token = ""
        while True:
            listing = Listing(ImageQuery(sorts=by_name), ONE, page_size=2, page_token=token)
            page = await driver.list_images(listing)
            assert len(page.images) <= 2
            seen += [image.name for image in page.images]
            token = page.next_page_token
            if not token:
                break
        assert seen == ["n0", "n1", "n2", "n3", "n4"]
        with pytest.raises(Failure):
            await driver.list_images(Listing(ImageQuery(), ONE, page_token=str(uuid.uuid4())))

    async def test_who_lists_what(self, driver: ImageDriver) -> None:
        """A list holds what the viewer owns, what is public, and what it has accepted."""
        for name, visibility in (
            ("public", IMAGE_VISIBILITY_PUBLIC),
            ("private", IMAGE_VISIBILITY_PRIVATE),
            ("community", IMAGE_VISIBILITY_COMMUNITY),
        ):
            await driver.create(new_image(name=name, visibility=visibility), "")
        shared = await driver.create(new_image(name="shared"), "")
        await driver.members.add_member(shared.id, TWO, 10)

        async def names(viewer: str, **query: Any) -> set[str]:
            page = await driver.list_images(Listing(ImageQuery(**query), viewer))
            return {image.name for image in page.images}

        assert await names(ONE) == {"public", "private", "community", "shared"}
        assert await names(TWO) == {"public"}
        assert await names(TWO, all_visibilities=True) == {"public", "community"}
        assert await names(TWO, visibility=IMAGE_VISIBILITY_COMMUNITY) == {"community"}
        assert await names(TWO, member_status=IMAGE_MEMBER_STATUS_PENDING) == {"public", "shared"}
        await driver.members.update_member(shared.id, TWO, IMAGE_MEMBER_STATUS_ACCEPTED)
        assert await names(TWO) == {"public", "shared"}

    async def test_members(self, driver: ImageDriver) -> None:
        """Added, listed, changed, removed."""
        image = await driver.create(new_image(), "")
        members = driver.members
        added = await members.add_member(image.id, TWO, 10)
        assert (added.project_id, added.status) == (TWO, IMAGE_MEMBER_STATUS_PENDING)
        with pytest.raises(AlreadyExistsError):
            await members.add_member(image.id, TWO, 10)
        assert [m.project_id for m in await members.list_members(image.id)] == [TWO]
        changed = await members.update_member(image.id, TWO, IMAGE_MEMBER_STATUS_REJECTED)
        assert changed.status == IMAGE_MEMBER_STATUS_REJECTED
        assert (await members.get_member(image.id, TWO)).status == IMAGE_MEMBER_STATUS_REJECTED
        await members.remove_member(image.id, TWO)
        with pytest.raises(NotFoundError):
            await members.get_member(image.id, TWO)
        with pytest.raises(NotFoundError):
            await members.remove_member(image.id, TWO)

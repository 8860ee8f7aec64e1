"""Records of images on every database."""

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db import image_members, images
from db.connect import connect
from db.database import Database
from db.image_queries import ImagePage
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
)
from novamesh.types.v1.image_member_pb2 import IMAGE_MEMBER_STATUS_ACCEPTED
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_ACTIVE,
    IMAGE_STATUS_QUEUED,
    IMAGE_STATUS_SAVING,
    IMAGE_VISIBILITY_PRIVATE,
    IMAGE_VISIBILITY_SHARED,
    Image,
)
from novamesh.types.v1.image_query_pb2 import (
    ImageQuery,
    ImageSort,
    ImageSortKey,
)
from tests.schema import make_schema


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await asyncio.to_thread(make_schema, url)
    database = connect(url)
    yield database
    await database.close()


def record(**fields: Any) -> Image:
    """A record to be."""
    given = {"status": IMAGE_STATUS_QUEUED, "visibility": IMAGE_VISIBILITY_PRIVATE, "owner": "p1", **fields}
    return Image(id=str(uuid.uuid4()), **given)


async def create(database: Database, image: Image, request_id: str = "") -> Image:
    return await database.write(lambda c: images.create(c, image, request_id))


async def write(database: Database, image: Image, *paths: str, **conditions: Any) -> Image:
    return await database.write(lambda c: images.write(c, image, paths, **conditions))


async def names(database: Database, **query: Any) -> list[str]:
    page = ImagePage(ImageQuery(**query), all_projects=True)
    found, _ = await database.read(lambda c: images.list_page(c, page))
    return [image.name for image in found]


async def test_every_field_comes_back(database: Database) -> None:
    image = record(
        name="Ünï ☃ \U0001f600",
        disk_format="raw",
        container_format="bare",
        min_disk_gb=3,
        min_ram_mb=4,
        protected=True,
        hidden=True,
        tags=["a", "b"],
        properties={"os_type": "linux", "long": "x" * 60000},
    )
    made = await create(database, image)
    assert made.generation == 1
    assert made.created_at == made.updated_at
    expected = Image()
    expected.CopyFrom(made)
    for field in ("generation", "created_at", "updated_at"):
        expected.ClearField(field)
    assert expected == image
    done = Image(
        id=image.id,
        status=IMAGE_STATUS_ACTIVE,
        size=1 << 40,
        virtual_size=1 << 41,
        checksum="c" * 32,
        os_hash_algo="sha512",
        os_hash_value="d" * 128,
    )
    paths = ["status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"]
    written = await write(database, done, *paths)
    assert (written.size, written.virtual_size, written.generation) == (1 << 40, 1 << 41, 2)
    assert written.name == image.name
    assert await database.read(lambda c: images.get(c, image.id)) == written


async def test_a_request_makes_one_record(database: Database) -> None:
    image = record()
    made = await create(database, image, "r1")
    assert await create(database, record(), "r1") == made
    with pytest.raises(AlreadyExistsError):
        await create(database, image, "r2")


async def test_writes_check_what_they_were_decided_on(database: Database) -> None:
    made = await create(database, record())
    await write(database, Image(id=made.id, name="a"), "name", generation=1)
    with pytest.raises(GenerationConflictError):
        await write(database, Image(id=made.id, name="b"), "name", generation=1)
    saving = Image(id=made.id, status=IMAGE_STATUS_SAVING)
    await write(database, saving, "status", from_statuses=[IMAGE_STATUS_QUEUED])
    with pytest.raises(ImageUnacceptableError, match="saving, not queued"):
        await write(database, saving, "status", from_statuses=[IMAGE_STATUS_QUEUED])
    with pytest.raises(InvalidArgumentError):
        await write(database, saving, "created_at")
    with pytest.raises(NotFoundError):
        await write(database, record(), "name")


async def test_one_of_many_writers_wins(database: Database) -> None:
    made = await create(database, record())
    saving = Image(id=made.id, status=IMAGE_STATUS_SAVING)
    results = await asyncio.gather(
        *(write(database, saving, "status", from_statuses=[IMAGE_STATUS_QUEUED]) for _ in range(6)),
        return_exceptions=True,
    )
    assert [type(r) for r in results if isinstance(r, BaseException)] == [ImageUnacceptableError] * 5


async def test_filters_follow_writes(database: Database) -> None:
    a = await create(database, record(name="a", tags=["x"], properties={"k": "1"}))
    await create(database, record(name="A", tags=["X"], properties={"k": "2"}))
    assert await names(database, names=["a"]) == ["a"]
    assert await names(database, tags=["x"]) == ["a"]
    assert await names(database, properties={"k": "2"}) == ["A"]
    await write(database, Image(id=a.id, tags=["y"], properties={"k": "2", "j": ""}), "tags", "properties")
    assert await names(database, tags=["x"]) == []
    assert set(await names(database, properties={"k": "2"})) == {"a", "A"}
    assert await names(database, properties={"k": "2", "j": ""}) == ["a"]
    assert await names(database, tags=["y"]) == ["a"]


async def test_pages_in_every_order(database: Database) -> None:
    made = {
        (await create(database, record(name=f"n{n % 2}", disk_format=("raw", "iso", "")[n % 3]))).id
        for n in range(6)
    }
    keys = [k for k in ImageSortKey.values() if k]
    for key, descending in itertools.product(keys, (False, True)):
        sorts = [
            ImageSort(key=key, descending=descending),
            ImageSort(key=ImageSortKey.IMAGE_SORT_KEY_CREATED_AT, descending=not descending),
        ]
        seen: list[str] = []
        token = ""
        while True:
            page = ImagePage(ImageQuery(sorts=sorts), "p1", page_size=4, page_token=token)
            found, token = await database.read(lambda c, page=page: images.list_page(c, page))  # type: ignore[misc]
            seen += [image.id for image in found]
            if not token:
                break
        assert len(seen) == len(made)
        assert set(seen) == made


async def test_protected_records_stay(database: Database) -> None:
    made = await create(database, record(protected=True))
    with pytest.raises(PermissionDeniedError):
        await database.write(lambda c: images.remove(c, made.id))
    await write(database, Image(id=made.id), "protected")
    assert (await database.write(lambda c: images.remove(c, made.id))).id == made.id
    with pytest.raises(NotFoundError):
        await database.write(lambda c: images.remove(c, made.id))


async def test_members(database: Database) -> None:
    made = await create(database, record(visibility=IMAGE_VISIBILITY_SHARED))
    results = await asyncio.gather(
        *(database.write(lambda c, n=n: image_members.create(c, made.id, f"m{n}", 3)) for n in range(6)),  # type: ignore[misc]
        return_exceptions=True,
    )
    refused = [type(r) for r in results if isinstance(r, BaseException)]
    assert refused == [ResourceExhaustedError] * 3
    members = await database.read(lambda c: image_members.list_all(c, made.id))
    assert len(members) == 3
    first = members[0].project_id
    accepted = IMAGE_MEMBER_STATUS_ACCEPTED
    changed = await database.write(lambda c: image_members.write_status(c, made.id, first, accepted))
    assert (changed.status, changed.generation) == (accepted, 2)
    seen, _ = await database.read(lambda c: images.list_page(c, ImagePage(ImageQuery(), first)))
    assert [image.id for image in seen] == [made.id]
    await database.write(lambda c: images.remove(c, made.id))
    assert await database.read(lambda c: image_members.list_all(c, made.id)) == []
    with pytest.raises(NotFoundError):
        await database.write(lambda c: image_members.create(c, made.id, "m", 3))

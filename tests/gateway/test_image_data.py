"""Uploads and downloads over the Image API."""

import asyncio
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.image.options import ImageOptions
from tests.image_cloud import Answered, ImageClient, ImageCloud, image_client, image_cloud

OCTETS = {"Content-Type": "application/octet-stream"}
CAP = 8 << 20


class Store(ImageClient):
    """Shortcuts for these tests."""

    cloud: ImageCloud

    async def create(self, disk_format: str = "raw", **more: Any) -> str:
        body = {"name": "x", "disk_format": disk_format, "container_format": "bare", **more}
        answer = await self.call("one", "POST", "/v2/images", json=body)
        assert answer.status == 201, answer.body
        path: str = orjson.loads(answer.body)["self"]
        return path

    async def show(self, path: str) -> dict[str, Any]:
        shown: dict[str, Any] = orjson.loads((await self.call("one", "GET", path)).body)
        return shown

    async def upload(self, path: str, data: Any, **headers: str) -> Answered:
        return await self.call("one", "PUT", path + "/file", data=data, headers={**OCTETS, **headers})

    def files(self) -> list[Path]:
        return [p for p in self.cloud.folder.rglob("*") if p.is_file()]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    options = ImageOptions(image_size_cap=CAP)
    async with image_cloud(tmp_path, options) as cloud, image_client(cloud) as client:
        store = Store(client.http)
        store.cloud = cloud
        yield store


async def test_there_and_back(store: Store) -> None:
    data = os.urandom((3 << 20) + 77)
    path = await store.create()
    assert (await store.upload(path, data)).status == 204
    shown = await store.show(path)
    assert shown["status"] == "active"
    assert shown["size"] == shown["virtual_size"] == len(data)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_algo"] == "sha512"
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    answer = await store.call("one", "GET", path + "/file")
    assert answer.status == 200
    assert answer.body == data
    assert answer.headers["Content-MD5"] == shown["checksum"]
    assert answer.headers["Content-Length"] == str(len(data))


async def test_an_empty_image(store: Store) -> None:
    path = await store.create()
    assert (await store.upload(path, b"")).status == 204
    shown = await store.show(path)
    assert (shown["status"], shown["size"]) == ("active", 0)
    answer = await store.call("one", "GET", path + "/file")
    assert (answer.status, answer.body) == (200, b"")


async def test_without_a_length(store: Store) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield bytes(70_000)

    path = await store.create()
    assert (await store.upload(path, pieces())).status == 204
    assert (await store.show(path))["size"] == 2_100_000


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=1048570-", 1048570, 1048599),
        ("bytes=-3", 1048597, 1048599),
    ],
)
async def test_ranges(store: Store, wanted: str, first: int, last: int) -> None:
    data = os.urandom(1048600)
    path = await store.create()
    await store.upload(path, data)
    answer = await store.call("one", "GET", path + "/file", headers={"Range": wanted})
    assert answer.status == 206
    assert answer.body == data[first : last + 1]
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
    assert "Content-MD5" not in answer.headers


@pytest.mark.parametrize(
    ("wanted", "status"), [("bytes=10-", 416), ("bytes=0-1,3-4", 400), ("lines=1-2", 400)]
)
async def test_bad_ranges(store: Store, wanted: str, status: int) -> None:
    path = await store.create()
    await store.upload(path, b"0123456789")
    assert (await store.call("one", "GET", path + "/file", headers={"Range": wanted})).status == status


async def test_no_data_yet(store: Store) -> None:
    path = await store.create()
    assert (await store.call("one", "GET", path + "/file")).status == 204


async def test_data_comes_once(store: Store) -> None:
    path = await store.create()
    await store.upload(path, b"first")
    assert (await store.upload(path, b"second")).status == 409
    assert (await store.call("one", "GET", path + "/file")).body == b"first"


async def test_uploads_of_others(store: Store) -> None:
    path = await store.create()
    for token, status in (("two", 404), ("reader", 403)):
        answer = await store.call(token, "PUT", path + "/file", data=b"x", headers=OCTETS)
        assert answer.status == status
    assert store.files() == []


async def test_formats_must_be_set(store: Store) -> None:
    answer = await store.call("one", "POST", "/v2/images", json={"name": "x"})
    path = orjson.loads(answer.body)["self"]
    refused = await store.upload(path, b"x")
    assert refused.status == 400
    assert b"container_format" in refused.body


async def test_uploads_need_their_content_type(store: Store) -> None:
    path = await store.create()
    answer = await store.call("one", "PUT", path + "/file", data=b"x", headers={"Content-Type": "text/plain"})
    assert answer.status == 415


async def queued_and_gone(store: Store, path: str) -> None:
    """The image waits for data again, and none is left on disk."""
    for _ in range(200):
        if (await store.show(path))["status"] == "queued":
            break
        await asyncio.sleep(0.01)
    assert (await store.show(path))["status"] == "queued"
    assert store.files() == []


async def test_too_large(store: Store) -> None:
    path = await store.create()
    assert (await store.upload(path, bytes(CAP + 1))).status == 413

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(9):
            yield bytes(1 << 20)

    assert (await store.upload(path, unannounced())).status == 413
    await queued_and_gone(store, path)


async def test_a_wrong_size(store: Store) -> None:
    async def some() -> AsyncIterator[bytes]:
        yield b"12345"

    path = await store.create()
    answer = await store.upload(path, some(), **{"X-OpenStack-Image-Size": "6"})
    assert answer.status == 400, answer.body
    assert (await store.upload(path, b"12345", **{"X-OpenStack-Image-Size": "x"})).status == 400
    await queued_and_gone(store, path)
    assert (await store.upload(path, some(), **{"X-OpenStack-Image-Size": "5"})).status == 204


async def test_a_client_that_goes_away(store: Store) -> None:
    path = await store.create()

    async def broken() -> AsyncIterator[bytes]:
        yield bytes(2 << 20)
        while (await store.show(path))["status"] != "saving":
            await asyncio.sleep(0.01)
        raise RuntimeError("the client broke")

    with pytest.raises(Exception, match=r"."):
        await store.upload(path, broken(), **{"Content-Length": str(4 << 20)})
    await queued_and_gone(store, path)
    assert (await store.upload(path, b"again")).status == 204


def qcow2(size: int = 1 << 30, backing: int = 0, incompatible: int = 0) -> bytes:
    """A qcow2 header of version 3."""
    head = b"QFI\xfb" + struct.pack(
        ">IQIIQIIQQIIQQ", 3, backing, 0, 16, size, 0, 0, 0, 0, 0, 0, 0, incompatible
    )
    return head.ljust(4096, b"\0")


async def test_qcow2_tells_its_virtual_size(store: Store) -> None:
    path = await store.create("qcow2")
    assert (await store.upload(path, qcow2(5 << 30))).status == 204
    shown = await store.show(path)
    assert (shown["size"], shown["virtual_size"]) == (4096, 5 << 30)


@pytest.mark.parametrize(
    ("disk_format", "data", "named"),
    [
        ("qcow2", b"not a disk at all" * 20, b"qcow2"),
        ("qcow2", b"QFI\xfb", b"header"),
        ("qcow2", qcow2(backing=104), b"backing"),
        ("qcow2", qcow2(incompatible=4), b"data file"),
        ("raw", qcow2(), b"qcow2"),
        ("vmdk", b"x" * 200, b"vmdk"),
    ],
)
async def test_data_that_lies(store: Store, disk_format: str, data: bytes, named: bytes) -> None:
    path = await store.create(disk_format)
    answer = await store.upload(path, data)
    assert answer.status == 415
    assert named in answer.body
    await queued_and_gone(store, path)


async def test_deletion_takes_the_data(store: Store) -> None:
    path = await store.create()
    await store.upload(path, b"x")
    assert len(store.files()) == 1
    assert (await store.call("one", "DELETE", path)).status == 204
    assert store.files() == []


async def test_deactivated_data_is_for_administrators(store: Store) -> None:
    path = await store.create()
    assert (await store.call("one", "POST", path + "/actions/deactivate")).status == 403
    await store.upload(path, b"x")
    assert (await store.call("one", "POST", path + "/actions/deactivate")).status == 204
    assert (await store.call("one", "POST", path + "/actions/deactivate")).status == 204
    assert (await store.show(path))["status"] == "deactivated"
    assert (await store.call("one", "GET", path + "/file")).status == 403
    assert (await store.call("admin", "GET", path + "/file")).body == b"x"
    assert (await store.call("one", "POST", path + "/actions/reactivate")).status == 204
    assert (await store.call("one", "GET", path + "/file")).body == b"x"


async def test_missing_data_is_named(store: Store) -> None:
    path = await store.create()
    await store.upload(path, b"x")
    store.files()[0].unlink()
    answer = await store.call("one", "GET", path + "/file")
    assert answer.status == 404
    assert b"missing" in answer.body

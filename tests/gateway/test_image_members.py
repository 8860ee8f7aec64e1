"""Sharing images with projects over the Image API."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from services.image.options import ImageOptions
from tests.image_cloud import ImageClient, image_client, image_cloud


class Shares(ImageClient):
    """Shortcuts for these tests."""

    async def json(self, token: str, method: str, path: str, status: int, **request: Any) -> Any:
        answer = await self.call(token, method, path, **request)
        assert answer.status == status, answer.body
        return orjson.loads(answer.body) if answer.body[:1] == b"{" else None

    async def create(self, **body: Any) -> str:
        made = await self.json("one", "POST", "/v2/images", 201, json={"name": "x", **body})
        path: str = made["self"]
        return path

    async def listed(self, token: str, query: str = "") -> int:
        return len((await self.json(token, "GET", f"/v2/images{query}", 200))["images"])


@pytest.fixture
async def shares(tmp_path: Path) -> AsyncIterator[Shares]:
    options = ImageOptions(image_member_quota=2)
    async with image_cloud(tmp_path, options) as cloud, image_client(cloud) as client:
        yield Shares(client.http)


async def test_share_accept_decline_end(shares: Shares) -> None:
    path = await shares.create()
    made = await shares.json("one", "POST", path + "/members", 200, json={"member": "p2"})
    assert (made["member_id"], made["status"]) == ("p2", "pending")
    await shares.json("two", "GET", path, 200)
    assert await shares.listed("two") == 0
    assert await shares.listed("two", "?member_status=pending&visibility=shared") == 1
    accepted = {"status": "accepted"}
    assert (await shares.json("two", "PUT", path + "/members/p2", 200, json=accepted))["status"] == "accepted"
    assert await shares.listed("two") == 1
    await shares.json("two", "PUT", path + "/members/p2", 200, json={"status": "rejected"})
    assert await shares.listed("two") == 0
    assert await shares.listed("two", "?member_status=all") == 1
    await shares.json("one", "DELETE", path + "/members/p2", 204)
    await shares.json("one", "DELETE", path + "/members/p2", 404)
    await shares.json("two", "GET", path, 404)


async def test_who_may_say_what(shares: Shares) -> None:
    path = await shares.create()
    await shares.json("two", "POST", path + "/members", 404, json={"member": "p2"})
    await shares.json("one", "POST", path + "/members", 200, json={"member": "p2"})
    await shares.json("two", "POST", path + "/members", 403, json={"member": "p3"})
    await shares.json("one", "PUT", path + "/members/p2", 403, json={"status": "accepted"})
    await shares.json("two", "DELETE", path + "/members/p2", 403)
    await shares.json("two", "GET", path + "/members/p3", 404)
    await shares.json("one", "POST", path + "/members", 200, json={"member": "p3"})
    owners = await shares.json("one", "GET", path + "/members", 200)
    assert [m["member_id"] for m in owners["members"]] == ["p2", "p3"]
    own = await shares.json("two", "GET", path + "/members", 200)
    assert [m["member_id"] for m in own["members"]] == ["p2"]
    assert (await shares.json("two", "GET", path + "/members/p2", 200))["status"] == "pending"


async def test_refusals(shares: Shares) -> None:
    path = await shares.create()
    bodies: list[Any] = [{}, {"member": ""}, {"member": 3}, []]
    for body in bodies:
        await shares.json("one", "POST", path + "/members", 400, json=body)
    await shares.json("one", "POST", path + "/members", 200, json={"member": "p2"})
    await shares.json("one", "POST", path + "/members", 409, json={"member": "p2"})
    bodies = [{}, {"status": "perhaps"}, {"status": []}]
    for body in bodies:
        await shares.json("two", "PUT", path + "/members/p2", 400, json=body)
    await shares.json("one", "POST", path + "/members", 200, json={"member": "p3"})
    await shares.json("one", "POST", path + "/members", 413, json={"member": "p4"})


async def test_only_shared_images_have_members(shares: Shares) -> None:
    path = await shares.create(visibility="private")
    await shares.json("one", "POST", path + "/members", 403, json={"member": "p2"})
    await shares.json("one", "GET", path + "/members", 403)
    await shares.json("one", "GET", path + "/members/p2", 404)


async def test_members_go_with_their_image(shares: Shares) -> None:
    path = await shares.create()
    await shares.json("one", "POST", path + "/members", 200, json={"member": "p2"})
    await shares.json("one", "DELETE", path, 204)
    assert await shares.listed("two", "?member_status=all") == 0

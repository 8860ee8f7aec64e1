"""The Image API's records, over the real role and database."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.image_cloud import ImageClient, image_client, image_cloud

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


class Api(ImageClient):
    """Shortcuts for these tests."""

    async def json(self, token: str, method: str, path: str, status: int, **request: Any) -> Any:
        answer = await self.call(token, method, path, **request)
        assert answer.status == status, answer.body
        return orjson.loads(answer.body) if answer.body[:1] in (b"{", b"[") else None

    async def create(self, token: str = "one", **body: Any) -> dict[str, Any]:
        made: dict[str, Any] = await self.json(token, "POST", "/v2/images", 201, json=body)
        return made

    async def names(self, token: str, query: str = "") -> list[str]:
        listed = await self.json(token, "GET", f"/v2/images{query}", 200)
        return [image["name"] for image in listed["images"]]

    async def patch(self, token: str, image: str, status: int, *steps: dict[str, Any]) -> Any:
        path = f"/v2/images/{image}"
        return await self.json(token, "PATCH", path, status, data=orjson.dumps(steps), headers=PATCH)


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with image_cloud(tmp_path) as cloud, image_client(cloud) as client:
        yield Api(client.http)


async def test_versions(api: Api) -> None:
    choices = await api.json("", "GET", "/", 300)
    assert choices == await api.json("", "GET", "/versions", 200)
    current = choices["versions"][0]
    assert current["status"] == "CURRENT"
    assert current["links"][0]["href"].endswith("/v2/")


async def test_no_token_is_unauthorized(api: Api) -> None:
    answer = await api.call("", "GET", "/v2/images")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Keystone uri=")
    assert (await api.call("forged", "GET", "/v2/images/x")).status == 401


async def test_create_and_show(api: Api) -> None:
    made = await api.create(
        name="tiny", disk_format="raw", container_format="bare", min_disk=1, tags=["b", "a"], os_type="linux"
    )
    assert made["status"] == "queued"
    assert made["visibility"] == "shared"
    assert made["owner"] == "p1"
    assert made["tags"] == ["a", "b"]
    assert made["os_type"] == "linux"
    assert made["size"] is None
    assert made["checksum"] is None
    assert made["file"] == f"/v2/images/{made['id']}/file"
    assert await api.json("one", "GET", made["self"], 200) == made


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"name": 3}, 400, b"name"),
        ({"disk_format": "floppy"}, 400, b"disk_format"),
        ({"min_ram": -1}, 400, b"min_ram"),
        ({"visibility": "secret"}, 400, b"visibility"),
        ({"os_type": {"a": 1}}, 400, b"os_type"),
        ({"id": "no-uuid"}, 400, b"id"),
        ({"status": "active"}, 403, b"status"),
        ({"location": "file:///etc/passwd"}, 403, b"location"),
        ({"owner": "p2"}, 403, b"add_image"),
        ({"visibility": "public"}, 403, b"publicize_image"),
        ({"tags": ["x"] * 1 + ["y" * 300]}, 400, b"tags"),
        ({"name": "a\0b"}, 400, b"NUL"),
        ([], 400, b"object"),
    ],
)
async def test_create_refuses(api: Api, body: Any, status: int, named: bytes) -> None:
    answer = await api.call("one", "POST", "/v2/images", json=body)
    assert answer.status == status, answer.body
    assert named in answer.body


async def test_broken_json_is_named(api: Api) -> None:
    answer = await api.call("one", "POST", "/v2/images", data=b"{", headers={"Accept": "application/json"})
    assert answer.status == 400
    assert orjson.loads(answer.body)["title"] == "Bad Request"


async def test_create_needs_the_member_role(api: Api) -> None:
    await api.json("reader", "POST", "/v2/images", 403, json={})
    await api.json("nothing", "GET", "/v2/images", 403)


async def test_ids_are_the_callers_choice_once(api: Api) -> None:
    chosen = str(uuid.uuid4())
    assert (await api.create(id=chosen))["id"] == chosen
    await api.json("one", "POST", "/v2/images", 409, json={"id": chosen})


async def test_a_name_is_not_an_id(api: Api) -> None:
    await api.create(name="tiny")
    answer = await api.call("one", "GET", "/v2/images/tiny")
    assert answer.status == 404
    assert b"<h1>404 Not Found</h1>" in answer.body


async def test_who_sees_what(api: Api) -> None:
    private = await api.create(name="private", visibility="private")
    shared = await api.create(name="shared")
    community = await api.create(name="community", visibility="community")
    public = await api.create("admin", name="public", visibility="public")
    assert set(await api.names("one")) == {"private", "shared", "community", "public"}
    assert await api.names("two") == ["public"]
    assert await api.names("two", "?visibility=community") == ["community"]
    assert set(await api.names("two", "?visibility=all")) == {"public", "community"}
    assert set(await api.names("admin")) == {"private", "shared", "public"}
    for image, status in ((private, 404), (shared, 404), (community, 200), (public, 200)):
        await api.json("two", "GET", image["self"], status)
        await api.json("admin", "GET", image["self"], 200)
        await api.json("reader", "GET", image["self"], 200)


async def test_others_can_change_nothing(api: Api) -> None:
    public = await api.create("admin", name="public", visibility="public")
    private = await api.create(name="private", visibility="private")
    step = {"op": "replace", "path": "/name", "value": "mine"}
    await api.patch("two", public["id"], 403, step)
    await api.patch("two", private["id"], 404, step)
    await api.patch("reader", private["id"], 403, step)
    await api.json("two", "DELETE", public["self"], 403)
    await api.json("two", "DELETE", private["self"], 404)
    await api.json("two", "PUT", public["self"] + "/tags/x", 403)
    await api.json("two", "POST", public["self"] + "/actions/deactivate", 403)


async def test_filters(api: Api) -> None:
    a = await api.create(name="a", disk_format="raw", tags=["x", "y"], os_type="linux", min_ram=64)
    b = await api.create(name="b,c", disk_format="qcow2", tags=["x"], protected=True)
    await api.create(name="hidden", os_hidden=True)
    for query, names in {
        "?name=a": ["a"],
        "?name=in:a,%22b,c%22": ["b,c", "a"],
        f"?id=in:{a['id']},{b['id']}": ["b,c", "a"],
        f"?id={a['id']}": ["a"],
        "?disk_format=qcow2": ["b,c"],
        "?disk_format=in:raw,iso": ["a"],
        "?tag=x&tag=y": ["a"],
        "?tag=x": ["b,c", "a"],
        "?os_type=linux": ["a"],
        "?os_type=windows": [],
        "?status=active": [],
        "?status=queued&sort=name:asc": ["a", "b,c"],
        "?status=nonsense": [],
        "?os_hidden=true": ["hidden"],
        "?protected=true": ["b,c"],
        "?min_ram=64": ["a"],
        "?owner=p1&sort_key=name&sort_dir=desc": ["b,c", "a"],
        "?owner=p2": [],
        "?size_min=1": [],
        "?created_at=gt:2001-01-01T00:00:00Z&name=a": ["a"],
        "?created_at=lt:2001-01-01T00:00:00Z": [],
        "?limit=0": [],
    }.items():
        assert await api.names("one", query) == names, query


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-1",
        "marker=nothing",
        "sort_key=colour",
        "sort=name:sideways",
        "sort=name&sort_key=name",
        "sort_key=name&sort_key=id&sort_dir=asc&sort_dir=asc&sort_dir=asc",
        "visibility=secret",
        "member_status=maybe",
        "os_hidden=perhaps",
        "protected=1",
        "size_min=big",
        "created_at=yesterday",
        "created_at=near:2001-01-01T00:00:00Z",
        "changes-since=2001-01-01",
    ],
)
async def test_nonsense_in_queries(api: Api, query: str) -> None:
    await api.json("one", "GET", f"/v2/images?{query}", 400)


@pytest.mark.parametrize("order", ["", "sort=name:asc", "sort=disk_format:desc,name:asc", "sort_key=size"])
async def test_pages_hold_every_image_once(api: Api, order: str) -> None:
    made = {(await api.create(name=f"n{n % 3}", disk_format=("raw", "iso")[n % 2]))["id"] for n in range(7)}
    whole = await api.json("one", "GET", f"/v2/images?{order}", 200)
    path, seen = f"/v2/images?limit=2&{order}", []
    while path:
        page = await api.json("one", "GET", path, 200)
        assert len(page["images"]) <= 2
        seen += [image["id"] for image in page["images"]]
        path = page.get("next", "")
    assert seen == [image["id"] for image in whole["images"]]
    assert set(seen) == made


async def test_patch(api: Api) -> None:
    made = await api.create(name="a", os_type="linux", odd="1")
    changed = await api.patch(
        "one",
        made["id"],
        200,
        {"op": "replace", "path": "/name", "value": "b"},
        {"op": "add", "path": "/hw_disk_bus", "value": "virtio"},
        {"op": "replace", "path": "/os_type", "value": "bsd"},
        {"op": "remove", "path": "/odd"},
        {"op": "replace", "path": "/tags", "value": ["t"]},
        {"op": "add", "path": "/a~1b", "value": "slash"},
        {"op": "replace", "path": "/visibility", "value": "private"},
        {"op": "add", "path": "/min_disk", "value": 7},
    )
    assert (changed["name"], changed["hw_disk_bus"], changed["os_type"]) == ("b", "virtio", "bsd")
    assert (changed["tags"], changed["a/b"], changed["visibility"]) == (["t"], "slash", "private")
    assert changed["min_disk"] == 7
    assert "odd" not in changed
    assert await api.json("one", "GET", made["self"], 200) == changed
    assert await api.names("one", "?hw_disk_bus=virtio&tag=t") == ["b"]
    assert await api.names("one", "?os_type=linux") == []


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "replace", "path": "/owner", "value": "p2"}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "remove", "path": "/nothing"}, 409),
        ({"op": "replace", "path": "/nothing", "value": "x"}, 409),
        ({"op": "add", "path": "/os_type"}, 400),
        ({"op": "add", "path": "/os_type", "value": 3}, 400),
        ({"op": "move", "path": "/os_type", "value": "x"}, 400),
        ({"op": "add", "path": "os_type", "value": "x"}, 400),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "add", "path": "/a~", "value": "x"}, 400),
        ({"op": "add", "path": "/locations/-", "value": "x"}, 400),
        ({"op": "replace", "path": "/deleted", "value": "x"}, 403),
    ],
)
async def test_patch_refuses(api: Api, step: dict[str, Any], status: int) -> None:
    made = await api.create(name="a")
    await api.patch("one", made["id"], status, step)
    assert (await api.json("one", "GET", made["self"], 200)) == made


async def test_patch_needs_its_content_type(api: Api) -> None:
    made = await api.create(name="a")
    answer = await api.call("one", "PATCH", made["self"], json=[])
    assert answer.status == 415
    assert "v2.1-json-patch" in answer.headers["Accept-Patch"]


async def test_administrators_give_away(api: Api) -> None:
    made = await api.create(name="a")
    await api.patch("admin", made["id"], 200, {"op": "replace", "path": "/owner", "value": "p2"})
    await api.json("one", "GET", made["self"], 404)
    await api.json("two", "GET", made["self"], 200)


async def test_tags(api: Api) -> None:
    path = (await api.create(name="a"))["self"]
    await api.json("one", "PUT", path + "/tags/x", 204)
    await api.json("one", "PUT", path + "/tags/x", 204)
    await api.json("one", "PUT", path + "/tags/y", 204)
    assert (await api.json("one", "GET", path, 200))["tags"] == ["x", "y"]
    await api.json("one", "DELETE", path + "/tags/x", 204)
    await api.json("one", "DELETE", path + "/tags/x", 404)
    assert (await api.json("one", "GET", path, 200))["tags"] == ["y"]


async def test_protected_images_stay(api: Api) -> None:
    made = await api.create(name="a", protected=True)
    await api.json("one", "DELETE", made["self"], 403)
    await api.patch("one", made["id"], 200, {"op": "replace", "path": "/protected", "value": False})
    await api.json("one", "DELETE", made["self"], 204)
    await api.json("one", "GET", made["self"], 404)


async def test_schemas_and_abilities(api: Api) -> None:
    for name in ("image", "images", "member", "members"):
        assert (await api.json("one", "GET", f"/v2/schemas/{name}", 200))["name"] == name
    await api.json("one", "GET", "/v2/schemas/nothing", 404)
    assert (await api.json("one", "GET", "/v2/info/import", 200))["import-methods"]["value"] == []
    await api.json("one", "GET", "/v2/info/stores", 404)
    await api.json("one", "GET", "/v2/tasks", 404)
    made = await api.create(name="a")
    await api.json("one", "POST", made["self"] + "/import", 501, json={"method": {"name": "web-download"}})
    await api.json("one", "PUT", made["self"] + "/stage", 501, data=b"")
    answer = await api.call("one", "POST", made["self"])
    assert answer.status == 405
    assert "PATCH" in answer.headers["Allow"]

"""Host aggregates through the Compute API, over a whole cloud of fakes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_cloud import LATEST, FakeCloud, fake_cloud

PATH = "/os-aggregates"


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=2) as made:
        yield made


async def create(cloud: FakeCloud, name: str, zone: str | None = None) -> str:
    """The path of a new aggregate."""
    body = {"aggregate": {"name": name, "availability_zone": zone}}
    made = await cloud.ask("POST", PATH, 200, "admin", json=body)
    return f"{PATH}/{made['aggregate']['id']}"


async def act(cloud: FakeCloud, path: str, status: int = 200, **action: Any) -> Any:
    """add_host, remove_host or set_metadata; the aggregate, or the message of the refusal."""
    answer = await cloud.ask("POST", path + "/action", status, "admin", json=action)
    if status == 200:
        return answer["aggregate"]
    [fault] = answer.values()
    return fault["message"]


async def test_shapes(cloud: FakeCloud) -> None:
    body = {"aggregate": {"name": "fast", "availability_zone": "east"}}
    made = (await cloud.ask("POST", PATH, 200, "admin", "2.40", json=body))["aggregate"]
    assert made.pop("created_at").count(":") == 2
    number = made.pop("id")
    assert made == {
        "name": "fast",
        "availability_zone": "east",
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }
    path = f"{PATH}/{number}"
    await act(cloud, path, add_host={"host": "host2"})
    await act(cloud, path, set_metadata={"metadata": {"ssd": "true", "old": None}})
    shown = (await cloud.ask("GET", path, 200, "admin", "2.1"))["aggregate"]
    assert (shown["hosts"], shown["metadata"]) == (["host2"], {"ssd": "true", "availability_zone": "east"})
    assert shown["updated_at"] > shown["created_at"]
    assert "uuid" not in shown
    [listed] = (await cloud.ask("GET", PATH, 200, "admin", "2.41"))["aggregates"]
    assert len(listed.pop("uuid")) == 36
    assert listed == shown
    with_uuid = await cloud.ask("POST", PATH, 200, "admin", "2.41", json={"aggregate": {"name": "other"}})
    assert with_uuid["aggregate"].keys() == made.keys() | {"id", "created_at", "uuid"}
    assert with_uuid["aggregate"]["availability_zone"] is None
    body = {"aggregate": {"name": " quick ", "availability_zone": "east"}}
    changed = (await cloud.ask("PUT", path, 200, "admin", json=body))["aggregate"]
    assert (changed["name"], changed["hosts"]) == ("quick", ["host2"])


async def test_refusals(cloud: FakeCloud) -> None:
    east, west, plain = [await create(cloud, *one) for one in (("e", "east"), ("w", "west"), ("p",))]
    await cloud.ask("POST", PATH, 409, "admin", json={"aggregate": {"name": "e"}})
    await cloud.ask("PUT", west, 409, "admin", json={"aggregate": {"name": "e"}})
    assert (await act(cloud, east, add_host={"host": "host1"}))["hosts"] == ["host1"]
    assert "already has host host1" in await act(cloud, east, 409, add_host={"host": "host1"})
    assert "already in availability zone" in await act(cloud, west, 409, add_host={"host": "host1"})
    assert (
        await act(cloud, plain, 404, add_host={"host": "host9"}) == "Compute host host9 could not be found."
    )
    gone = "Cannot remove host host1 in aggregate "
    assert (await act(cloud, west, 404, remove_host={"host": "host1"})).startswith(gone)
    await act(cloud, plain, add_host={"host": "host1"})
    zone = {"metadata": {"availability_zone": "west"}}
    assert "['east']" in await act(cloud, plain, 400, set_metadata=zone)
    empty = {"metadata": {"availability_zone": None}}
    assert "empty named availability zone" in await act(cloud, east, 400, set_metadata=empty)
    for refused in ("west", None):
        await cloud.ask("PUT", plain, 400, "admin", json={"aggregate": {"availability_zone": refused}})
    assert "not empty" in str(await cloud.ask("DELETE", east, 400, "admin"))
    await act(cloud, east, remove_host={"host": "host1"})
    await cloud.ask("DELETE", east, 200, "admin")
    for method, path, body in (
        ("GET", east, None),
        ("PUT", east, {"aggregate": {"name": "x"}}),
        ("DELETE", east, None),
        ("POST", east + "/action", {"add_host": {"host": "host1"}}),
        ("POST", east + "/action", {"remove_host": {"host": "host1"}}),
        ("POST", east + "/action", {"set_metadata": {"metadata": {}}}),
        ("GET", PATH + "/" + "9" * 30, None),
    ):
        await cloud.ask(method, path, 404, "admin", json=body)
    for wrong in ("x", "1.5", "%C2%B2"):
        answer = await cloud.ask("GET", f"{PATH}/{wrong}", 400, "admin")
        assert answer["badRequest"]["message"] == "Invalid input received: id must be an integer"
    await cloud.ask("POST", plain + "/action", 400, "admin", json={"no_such_action": {}})


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"name": ""},
        {"name": " spaces "},
        {"name": "x" * 256},
        {"name": "x", "availability_zone": ""},
        {"name": "x", "availability_zone": "a:b"},
        {"name": "x", "availability_zone": " a"},
        {"name": "x", "availability_zone": "z" * 256},
        {"name": "x", "hosts": ["host1"]},
    ],
)
async def test_bodies_that_no_schema_lets_through(cloud: FakeCloud, given: dict[str, Any]) -> None:
    await cloud.ask("POST", PATH, 400, "admin", json={"aggregate": given})
    if given != {"name": " spaces "}:
        path = await create(cloud, "there")
        await cloud.ask("PUT", path, 400, "admin", json={"aggregate": given})


@pytest.mark.parametrize(
    "action",
    [
        {"add_host": {}},
        {"add_host": {"host": "a b"}},
        {"add_host": {"host": "h", "more": 1}},
        {"remove_host": {"host": 1}},
        {"set_metadata": {}},
        {"set_metadata": {"metadata": {"k": "x" * 256}}},
        {"set_metadata": {"metadata": {"k": 1}}},
        {"set_metadata": {"metadata": {"k/": "v"}}},
    ],
)
async def test_actions_that_no_schema_lets_through(cloud: FakeCloud, action: dict[str, Any]) -> None:
    path = await create(cloud, "there")
    await cloud.ask("POST", path + "/action", 400, "admin", json=action)


async def test_a_name_of_255_characters_and_of_any_script(cloud: FakeCloud) -> None:
    path = await create(cloud, "x" * 255, "z" * 255)
    await act(cloud, path, add_host={"host": "host1"})
    assert (await create(cloud, "Ørsted 東京 🚀", "Ж")) > ""


async def test_v2_trims_names_and_zones(cloud: FakeCloud) -> None:
    body = {"aggregate": {"name": "  old  ", "availability_zone": " east ", "unknown": 1}}
    headers = {"X-Auth-Token": "admin"}
    async with cloud.client.post("/v2/os-aggregates", json=body, headers=headers) as response:
        assert response.status == 200
        made = (await response.json())["aggregate"]
    assert (made["name"], made["availability_zone"]) == ("old", "east")


async def test_only_administrators_see_aggregates(cloud: FakeCloud) -> None:
    path = await create(cloud, "there")
    for method, where, body in (
        ("GET", PATH, None),
        ("GET", path, None),
        ("POST", PATH, {"aggregate": {"name": "x"}}),
        ("PUT", path, {"aggregate": {"name": "x"}}),
        ("DELETE", path, None),
        ("POST", path + "/action", {"add_host": {"host": "host1"}}),
        ("POST", path + "/action", {"remove_host": {"host": "host1"}}),
        ("POST", path + "/action", {"set_metadata": {"metadata": {}}}),
        ("POST", path + "/images", {"cache": [{"id": cloud.image}]}),
    ):
        await cloud.ask(method, where, 403, "demo", json=body)


async def test_servers_follow_zones_and_keep_them(cloud: FakeCloud) -> None:
    """A zone is schedulable as soon as it has a host; instances inside block what would move them."""
    path = await create(cloud, "e", "east")
    body = {"server": {"name": "vm", "imageRef": cloud.image, "flavorRef": "1", "networks": "auto"}}
    body["server"]["availability_zone"] = "east"
    await cloud.ask("POST", "/servers", 400, json=body)
    await act(cloud, path, add_host={"host": "host2"})
    inside = await cloud.boot(availability_zone="east")
    server = await cloud.show(inside)
    assert server["OS-EXT-AZ:availability_zone"] == "east"
    assert server["pinned_availability_zone"] == "east"
    assert server["OS-EXT-SRV-ATTR:host"] == "host2"
    elsewhere = [await cloud.boot(availability_zone="nova") for _ in range(2)]
    for one in elsewhere:
        server = await cloud.show(one)
        assert (server["OS-EXT-AZ:availability_zone"], server["OS-EXT-SRV-ATTR:host"]) == ("nova", "host1")
    assert "would move" in await act(cloud, path, 409, remove_host={"host": "host2"})
    assert "would move" in await act(cloud, path, 409, add_host={"host": "host1"})
    new_zone = {"availability_zone": "west"}
    assert "contain instances" in await act(cloud, path, 400, set_metadata={"metadata": new_zone})
    answer = await cloud.ask("PUT", path, 400, "admin", json={"aggregate": new_zone})
    assert "contain instances" in answer["badRequest"]["message"]
    # The same zone, and anything else, can be said at any time.
    same = {"metadata": {"availability_zone": "east", "ssd": "true"}}
    assert (await act(cloud, path, set_metadata=same))["metadata"]["ssd"] == "true"
    await cloud.ask("DELETE", f"/servers/{inside}", 204)
    await cloud.until_gone(inside)
    renamed = await act(cloud, path, set_metadata={"metadata": new_zone})
    assert renamed["availability_zone"] == "west"
    later = await cloud.show(await cloud.boot(availability_zone="west"))
    assert later["OS-EXT-SRV-ATTR:host"] == "host2"


async def test_a_deleted_service_leaves_its_aggregates(cloud: FakeCloud) -> None:
    path = await create(cloud, "e", "east")
    await act(cloud, path, add_host={"host": "host1"})
    inside = await cloud.boot(availability_zone="east")
    [service] = (await cloud.ask("GET", "/os-services?host=host1&binary=nova-compute", 200, "admin"))[
        "services"
    ]
    answer = await cloud.ask("DELETE", f"/os-services/{service['id']}", 409, "admin")
    assert "hosting instances" in answer["conflictingRequest"]["message"]
    await cloud.ask("DELETE", f"/servers/{inside}", 204)
    await cloud.until_gone(inside)
    await cloud.computes["host1"].stop()
    await cloud.ask("DELETE", f"/os-services/{service['id']}", 204, "admin")
    assert (await cloud.ask("GET", path, 200, "admin"))["aggregate"]["hosts"] == []


async def test_images_are_cached_from_2_81_on(cloud: FakeCloud) -> None:
    path = await create(cloud, "e")
    await act(cloud, path, add_host={"host": "host1"})
    body = {"cache": [{"id": cloud.image}]}
    await cloud.ask("POST", path + "/images", 404, "admin", "2.80", json=body)
    await cloud.ask("POST", path + "/images", 202, "admin", "2.81", json=body)
    async with asyncio.timeout(10):
        while cloud.image not in cloud.drivers["host1"].hypervisor.cached_images:
            await asyncio.sleep(0.01)
    assert not cloud.drivers["host2"].hypervisor.cached_images
    few = len(cloud.statements)
    more = [cloud.image, *[await cloud.add_image(f"more{i}") for i in range(5)]]
    await cloud.ask("POST", path + "/images", 202, "admin", json={"cache": [{"id": one} for one in more]})
    assert len(cloud.statements) == few
    refused: tuple[dict[str, Any], ...] = (
        {"cache": []},
        {"cache": [{"id": "no uuid"}]},
        {"cache": [{"id": cloud.image}, {"id": cloud.image}]},
        {"cache": [{"id": "00000000-0000-4000-8000-000000000000"}]},
        {"images": []},
    )
    for wrong in refused:
        await cloud.ask("POST", path + "/images", 400, "admin", LATEST, json=wrong)
    await cloud.ask("POST", PATH + "/4711/images", 404, "admin", json=body)

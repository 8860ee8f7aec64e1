"""/v2: the API as it was before microversions."""

from typing import Any

import pytest

from gateway.compute import parameters as p
from gateway.compute.legacy import relax
from tests.gateway.compute_things import IMAGE, made_instance
from tests.gateway.compute_world import World, compute_world

HEADERS = {"X-Auth-Token": "demo", "OpenStack-API-Version": "compute 2.90"}


async def ask(world: World, method: str, path: str, status: int, **options: Any) -> Any:
    response = await world.client.request(method, path, headers=HEADERS, **options)
    assert response.status == status, await response.text()
    for header in ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version", "Vary"):
        assert header not in response.headers
    return await response.json() if "json" in response.content_type else None


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_its_version_document_needs_no_token(path: str) -> None:
    async with compute_world() as world:
        response = await world.client.get(path)
        version = (await response.json())["version"]
        assert (version["id"], version["status"], version["version"]) == ("v2.0", "SUPPORTED", "")
        assert version["links"][0]["href"].endswith("/v2/")
        assert version["media-types"][0]["type"].endswith("version=2")


async def test_versions_below_a_project() -> None:
    async with compute_world() as world:
        for path in ("/v2/demo", "/v2/demo/", "/v2/versions/v2.1"):
            assert (await ask(world, "GET", path, 200))["version"]["id"] == "v2.0"
        for path in ("/demo", "/demo/", "/versions/v2.1"):
            assert (await (await world.get(path)).json())["version"]["id"] == "v2.1"
        assert (await (await world.get("/versions/v2.0")).json())["version"]["id"] == "v2.0"
        assert (await world.get("/versions/v3")).status == 404
        assert (await world.client.get("/v2.1/demo")).status == 401


async def test_microversions_mean_nothing() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        shown = (await ask(world, "GET", f"/v2/servers/{server.id}", 200))["server"]
        assert "locked" not in shown
        assert shown["links"][0]["href"].endswith(f"/v2/servers/{server.id}")
        for version in ("compute 9.9", "compute nonsense"):
            headers = {**HEADERS, "OpenStack-API-Version": version}
            assert (await world.client.get("/v2/demo/servers", headers=headers)).status == 200
        listed = await ask(world, "GET", "/v2/demo/servers?limit=1", 200)
        assert "/v2/demo/servers?" in listed["servers_links"][0]["href"]
        await ask(world, "GET", "/v2/other/servers", 400)
        await ask(world, "GET", "/v2/nothing", 404)


async def test_unknown_fields_are_dropped_and_names_trimmed() -> None:
    async with compute_world() as world:
        wanted = {
            "name": "  web ",
            "imageRef": IMAGE,
            "flavorRef": 1,
            "max_count": "1",
            "nonsense": {"a": 1},
            "networks": [{"uuid": next(iter(world.networks)), "color": "blue"}],
        }
        body = {"server": wanted, "more": True}
        # What is refused since 2.1.
        assert (await world.request("POST", "/servers", json=body)).status == 400
        made = await ask(world, "POST", "/v2/demo/servers", 202, json=body)
        assert world.instances[made["server"]["id"]].display_name == "web"
        wanted["name"] = "   "
        await ask(world, "POST", "/v2/demo/servers", 400, json=body)
        for wrong in ({"server": {"name": "x"}}, {"server": 5}, ["server"], {"more": 1}):
            await ask(world, "POST", "/v2/servers", 400, json=wrong)


async def test_extensions_are_listed_as_they_were() -> None:
    async with compute_world() as world:
        listed = (await ask(world, "GET", "/v2/extensions", 200))["extensions"]
        assert len(listed) == 100
        assert listed[0].keys() == {"alias", "description", "links", "name", "namespace", "updated"}
        shown = await ask(world, "GET", "/v2/demo/extensions/OS-EXT-VIF-NET", 200)
        assert shown["extension"]["name"] == "ExtendedVIFNet"
        await ask(world, "GET", "/v2/extensions/nonsense", 404)


async def test_virtual_interfaces_name_their_network_by_the_extension() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        path = f"/v2/servers/{server.id}/os-virtual-interfaces"
        (card,) = (await ask(world, "GET", path, 200))["virtual_interfaces"]
        assert card.keys() == {"id", "mac_address", "OS-EXT-VIF-NET:net_id"}


SCHEMA = p.wrapped(
    "thing",
    p.record(
        {
            "name": p.NAME,
            "metadata": p.METADATA,
            "either": {"anyOf": [p.record({"a": {}}), p.record({"b": {}})]},
            "open": {"type": "object", "additionalProperties": True},
            "several": {"type": "array", "items": p.record({"a": {}})},
        }
    ),
)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ({"name": "x", "size": 1}, {"name": "x"}),
        ({"name": " x\t"}, {"name": "x"}),
        ({"metadata": {"a b": "c", "é": "d"}}, {"metadata": {"a b": "c"}}),
        ({"either": {"b": 1, "c": 2}}, {"either": {"b": 1, "c": 2}}),
        ({"open": {"anything": {"goes": 1}}}, {"open": {"anything": {"goes": 1}}}),
        ({"several": [{"a": 1, "b": 2}, 3]}, {"several": [{"a": 1}, 3]}),
        ({"name": {"not": "text"}}, {"name": {"not": "text"}}),
        (7, 7),
    ],
)
def test_what_relaxing_leaves(given: Any, left: Any) -> None:
    assert relax(SCHEMA, {"thing": given, "other": 1}) == {"thing": left}

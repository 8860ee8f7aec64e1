"""Flavors, their extra specs and who may use them."""

from typing import Any

import pytest

from novamesh.types.v1.flavor_pb2 import Flavor
from tests.gateway.compute_world import compute_world

NEW = {"name": "big", "id": "9", "ram": 4096, "vcpus": "2", "disk": 20, "swap": 0}


async def test_flavors_at_2_1_and_later() -> None:
    async with compute_world() as world:
        (brief,) = (await (await world.get("/flavors")).json())["flavors"]
        assert brief.keys() == {"id", "name", "links"}
        old = (await (await world.get("/flavors/1")).json())["flavor"]
        assert (old["swap"], old["rxtx_factor"], old["OS-FLV-DISABLED:disabled"]) == ("", 1.0, False)
        new = (await (await world.get("/flavors/1", version="2.103")).json())["flavor"]
        assert (new["swap"], new["description"], new["extra_specs"]) == (0, None, {"hw:cpu_policy": "shared"})
        assert "rxtx_factor" not in new
        assert (await world.get("/flavors/m1.tiny")).status == 404


async def test_flavors_page_and_filter() -> None:
    async with compute_world() as world:
        for number in ("2", "3"):
            world.flavors[number] = Flavor(id=number, name=f"f{number}", memory_mb=1024, is_public=True)
        page = await (await world.get("/flavors/detail?limit=2&is_public=None")).json()
        assert [flavor["id"] for flavor in page["flavors"]] == ["1", "2"]
        page = await (await world.get(page["flavors_links"][0]["href"].partition("/v2.1")[2])).json()
        assert [flavor["id"] for flavor in page["flavors"]] == ["3"]
        await world.get("/flavors?minRam=1024&minDisk=1&sort_key=name&sort_dir=desc")
        asked = world.calls[-1]
        assert (asked.min_ram_mb, asked.min_disk_gb, asked.sort_key, asked.descending) == (
            1024, 1, "name", True,
        )  # fmt: skip
        found = (await (await world.get("/flavors?name=f3", version="2.102")).json())["flavors"]
        assert [flavor["id"] for flavor in found] == ["3"]
        for wrong in ("minRam=much", "sort_key=colour", "sort_dir=up", "marker=77", "limit=x"):
            assert (await world.get(f"/flavors?{wrong}")).status == 400
        assert (await world.get("/flavors?is_public=perhaps", token="admin")).status == 400


async def test_an_administrator_makes_and_removes_flavors() -> None:
    async with compute_world() as world:
        assert (await world.request("POST", "/flavors", json={"flavor": NEW})).status == 403
        response = await world.request("POST", "/flavors", json={"flavor": NEW}, token="admin")
        assert response.status == 200
        assert (await response.json())["flavor"]["ram"] == 4096
        response = await world.request("POST", "/flavors", json={"flavor": NEW}, token="admin")
        assert response.status == 409
        body = {"flavor": {"description": "large"}}
        path = "/flavors/9"
        assert (await world.request("PUT", path, json=body, token="admin", version="2.54")).status == 404
        response = await world.request("PUT", path, json=body, token="admin", version="2.55")
        assert (await response.json())["flavor"]["description"] == "large"
        assert (await world.request("DELETE", path, token="admin")).status == 202
        assert (await world.request("DELETE", path, token="admin")).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"ram": 0},
        {"vcpus": -1},
        {"disk": "x"},
        {"name": ""},
        {"id": " 1"},
        {"rxtx_factor": 0},
        {"color": "x"},
    ],
)
async def test_flavors_that_can_not_be(change: dict[str, Any]) -> None:
    async with compute_world() as world:
        response = await world.request("POST", "/flavors", json={"flavor": NEW | change}, token="admin")
        assert response.status == 400
        assert next(iter(change)) in await response.text()


async def test_extra_specs() -> None:
    async with compute_world() as world:
        path = "/flavors/1/os-extra_specs"
        assert (await (await world.get(path)).json())["extra_specs"] == {"hw:cpu_policy": "shared"}
        body = {"extra_specs": {"hw:numa_nodes": "1"}}
        assert (await world.request("POST", path, json=body)).status == 403
        assert (await world.request("POST", path, json=body, token="admin")).status == 200
        assert await (await world.get(path + "/hw:numa_nodes")).json() == {"hw:numa_nodes": "1"}
        one = path + "/hw:numa_nodes"
        assert (await world.request("PUT", one, json={"x": "1"}, token="admin")).status == 400
        assert (await world.request("PUT", one, json={"hw:numa_nodes": "2"}, token="admin")).status == 200
        assert (await world.request("DELETE", one, token="admin")).status == 200
        assert (await world.get(one)).status == 404


async def test_access() -> None:
    async with compute_world() as world:
        world.flavors["7"] = Flavor(id="7", name="private")
        path = "/flavors/7/action"
        body = {"addTenantAccess": {"tenant": "demo"}}
        response = await world.request("POST", path, json=body, token="admin")
        assert (await response.json())["flavor_access"] == [{"flavor_id": "7", "tenant_id": "demo"}]
        assert (await world.request("POST", path, json=body, token="admin")).status == 409
        response = await world.get("/flavors/7/os-flavor-access", token="admin")
        assert len((await response.json())["flavor_access"]) == 1
        body = {"removeTenantAccess": {"tenant": "demo"}}
        assert (await world.request("POST", path, json=body, token="admin")).status == 200
        assert (await world.request("POST", path, json=body, token="admin")).status == 404
        assert (await world.get("/flavors/1/os-flavor-access", token="admin")).status == 404

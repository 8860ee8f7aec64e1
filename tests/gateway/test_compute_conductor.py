"""The Compute API over a real conductor and its database: no double in between, only the image service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from db.connect import connect
from gateway.compute.app import build_compute_app
from gateway.options import GatewayOptions
from novamesh.image.v1 import image_service_pb2
from services.conductor.options import ConductorOptions
from services.conductor.role import ConductorRole
from services.mesh import Binding
from services.mesh.testing import ServiceRole, local_node
from tests.gateway.compute_records import Images
from tests.gateway.compute_things import IMAGE, tiny_image
from tests.gateway.compute_world import WordTokens, World
from tests.schema import make_schema

SERVER = {"name": "web", "flavorRef": "1", "imageRef": IMAGE, "networks": "auto"}
V = "2.103"


@asynccontextmanager
async def conducted(folder: Path) -> AsyncIterator[World]:
    """A Compute API on a new database, with a flavor and a network made through it."""
    url = f"sqlite:///{folder / 'cloud.sqlite'}"
    make_schema(url)
    database = connect(url)
    world = World()
    world.images[IMAGE] = tiny_image()
    images = Binding(image_service_pb2.DESCRIPTOR.services_by_name["ImageService"], Images(world))
    async with local_node(ServiceRole("image", [images])) as node:
        conductor = await node.peer("conductor")
        await conductor.add(ConductorRole(conductor, ConductorOptions(), database))
        app = build_compute_app(node, WordTokens(), GatewayOptions(host_cache_seconds=0.0))
        async with TestClient(TestServer(app)) as client:
            world.client = client
            flavor = {"flavor": {"name": "m1.tiny", "id": "1", "ram": 512, "vcpus": 1, "disk": 1}}
            await ask(world, "POST", "/flavors", 200, "admin", json=flavor)
            network = {"network": {"label": "private", "cidr": "10.1.0.0/24"}}
            await ask(world, "POST", "/os-networks", 200, "admin", version="2.1", json=network)
            yield world
    await database.close()


async def ask(
    world: World, method: str, path: str, status: int, token: str = "demo", version: str = V, **options: Any
) -> Any:
    """A request that must have that status; its JSON, if any."""
    response = await world.request(method, path, token=token, version=version, **options)
    assert response.status == status, await response.text()
    return await response.json() if await response.read() else None


async def test_a_server_from_create_to_delete(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        keypair = {"keypair": {"name": "k"}}
        await ask(world, "POST", "/os-keypairs", 201, version="2.2", json=keypair)
        body = {
            "server": SERVER | {"key_name": "k", "metadata": {"x": "y"}, "tags": ["t"], "user_data": "aGk="},
            "os:scheduler_hints": {"rack": "7"},
        }
        made = (await ask(world, "POST", "/servers", 202, json=body))["server"]
        path = f"/servers/{made['id']}"
        server = (await ask(world, "GET", path, 200, "admin"))["server"]
        assert server["status"] == "BUILD"
        assert server["OS-EXT-STS:task_state"] == "scheduling"
        assert server["OS-EXT-SRV-ATTR:user_data"] == "aGk="
        assert server["scheduler_hints"] == {"rack": "7"}
        assert server["security_groups"] == [{"name": "default"}]
        assert server["image"]["properties"]["architecture"] == "x86_64"
        await ask(world, "GET", path, 404, "other")
        early = await ask(world, "POST", path + "/metadata", 409, json={"metadata": {"p": "q"}})
        assert "vm_state building" in early["conflictingRequest"]["message"]
        await ask(world, "PUT", path + "/tags/u", 409)
        await ask(world, "PUT", path, 200, json={"server": {"name": "renamed"}})
        (listed,) = (await ask(world, "GET", "/servers/detail?name=^ren&tags=t", 200))["servers"]
        assert listed["metadata"] == {"x": "y"}
        pause = await ask(world, "POST", path + "/action", 409, json={"pause": None})
        assert "active" in pause["conflictingRequest"]["message"]
        (action,) = (await ask(world, "GET", path + "/os-instance-actions", 200))["instanceActions"]
        assert action["action"] == "create"
        assert (await ask(world, "GET", "/limits", 200))["limits"]["absolute"]["totalInstancesUsed"] == 1
        await ask(world, "DELETE", path, 204)
        # The ledger ends it; until then a second delete is the first one again.
        async with asyncio.timeout(10):
            while (await world.request("DELETE", path)).status == 204:
                await asyncio.sleep(0.02)
        await ask(world, "DELETE", path, 404)


async def test_the_quota_holds_and_says_its_numbers(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        accepted = await ask(
            world,
            "POST",
            "/servers",
            202,
            json={"server": SERVER | {"min_count": 3, "return_reservation_id": True}},
        )
        servers = (await ask(world, "GET", "/servers?sort_key=display_name&sort_dir=asc", 200))["servers"]
        assert [server["name"] for server in servers] == ["web-1", "web-2", "web-3"]
        path = f"/servers?reservation_id={accepted['reservation_id']}&limit=2"
        page = await ask(world, "GET", path, 200)
        rest = await ask(world, "GET", page["servers_links"][0]["href"].partition("/v2.1")[2], 200)
        assert len(page["servers"]) + len(rest["servers"]) == 3
        refused = await ask(world, "POST", "/servers", 403, json={"server": SERVER | {"min_count": 8}})
        assert refused["forbidden"]["message"] == (
            "Quota exceeded for instances: Requested 8, but already used 3 of 10 instances"
        )
        low: dict[str, dict[str, Any]] = {"quota_set": {"instances": 1}}
        await ask(world, "PUT", "/os-quota-sets/demo", 400, "admin", json=low)
        low["quota_set"]["force"] = True
        await ask(world, "PUT", "/os-quota-sets/demo", 200, "admin", json=low)


async def test_references_to_nothing(tmp_path: Path) -> None:
    async with conducted(tmp_path) as world:
        for change in ({"key_name": "absent"}, {"flavorRef": "77"}, {"networks": [{"uuid": IMAGE}]}):
            await ask(world, "POST", "/servers", 400, json={"server": SERVER | change})
        await ask(world, "GET", "/servers?marker=" + IMAGE, 400)
        assert (await ask(world, "GET", "/servers", 200))["servers"] == []

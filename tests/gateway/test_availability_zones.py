"""Availability zones as users and administrators see them."""

from pathlib import Path
from typing import Any

from gateway.options import GatewayOptions
from tests.gateway.compute_things import IMAGE
from tests.gateway.compute_world import compute_world
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

PATH = "/os-availability-zone"


async def zones(cloud: FakeCloud, path: str = PATH, token: str = "demo") -> dict[str, Any]:
    """Zones by name: whether available, and the hosts."""
    answer = await cloud.ask("GET", path, 200, token)
    return {
        one["zoneName"]: (one["zoneState"]["available"], one["hosts"])
        for one in answer["availabilityZoneInfo"]
    }


async def test_zones_come_and_go_with_aggregates(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        assert await zones(cloud) == {"nova": (True, None)}
        body = {"aggregate": {"name": "e", "availability_zone": "east"}}
        made = (await cloud.ask("POST", "/os-aggregates", 200, "admin", json=body))["aggregate"]
        # A zone without hosts is none.
        assert await zones(cloud) == {"nova": (True, None)}
        action = {"add_host": {"host": "host2"}}
        await cloud.ask("POST", f"/os-aggregates/{made['id']}/action", 200, "admin", json=action)
        assert await zones(cloud) == {"east": (True, None), "nova": (True, None)}
        disabled = {"host": "host2", "binary": "nova-compute"}
        await cloud.ask("PUT", "/os-services/disable", 200, "admin", "2.1", json=disabled)
        assert await zones(cloud) == {"nova": (True, None), "east": (False, None)}
        shown = await zones(cloud, PATH + "/detail", "admin")
        assert shown["east"] == (False, None)
        available, hosts = shown["nova"]
        assert available
        assert hosts.keys() == {"host1"}
        assert hosts["host1"].keys() == {"nova-compute"}
        service = hosts["host1"]["nova-compute"]
        assert (service["available"], service["active"]) == (True, True)
        assert service["updated_at"]
        # The cloud's own services have a zone of their own, which users never see.
        available, hosts = shown["internal"]
        assert "nova-conductor" in {binary for services in hosts.values() for binary in services}
        await cloud.ask("GET", PATH + "/detail", 403, "demo")
        services = (await cloud.ask("GET", "/os-services", 200, "admin"))["services"]
        assert {(one["host"], one["zone"]) for one in services if one["binary"] == "nova-compute"} == {
            ("host1", "nova"),
            ("host2", "east"),
        }


async def test_servers_without_a_zone_go_to_the_default_schedule_zone() -> None:
    async with compute_world(GatewayOptions(default_schedule_zone="east")) as world:
        body: dict[str, Any] = {"name": "x", "flavorRef": "1", "imageRef": IMAGE, "networks": "auto"}
        refused = await world.request("POST", "/servers", json={"server": body}, version="2.90")
        assert refused.status == 400
        world.hosts["host1"].availability_zone = "east"
        accepted = await world.request("POST", "/servers", json={"server": body}, version="2.90")
        assert accepted.status == 202
        assert world.calls[-1].template.availability_zone == "east"
        # A zone is no host's that is disabled.
        world.hosts["host1"].enabled = False
        refused = await world.request("POST", "/servers", json={"server": body}, version="2.90")
        assert refused.status == 400

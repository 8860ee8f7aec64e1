"""os-server-external-events: what becomes of each event, and of the whole request."""

from pathlib import Path
from typing import Any

import pytest

from tests.gateway.compute_things import made_instance
from tests.gateway.compute_world import World, compute_world
from tests.gateway.fake_cloud import fake_cloud

NOBODY = "00000000-0000-4000-8000-000000000000"
PATH = "/os-server-external-events"


async def tell(world: World, *events: dict[str, Any], version: str = "2.1", token: str = "admin") -> Any:
    return await world.request("POST", PATH, json={"events": list(events)}, version=version, token=token)


async def test_events_that_nobody_waits_for_are_accepted() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        event = {"name": "network-changed", "server_uuid": server.id, "tag": "port", "status": "in-progress"}
        response = await tell(world, event, {"name": "network-vif-plugged", "server_uuid": server.id})
        assert response.status == 200
        assert (await response.json())["events"] == [
            {**event, "status": "completed", "code": 200},
            {"name": "network-vif-plugged", "server_uuid": server.id, "status": "completed", "code": 200},
        ]


async def test_some_are_refused_one_by_one() -> None:
    async with compute_world() as world:
        server, homeless = world.add(made_instance(1)), world.add(made_instance(2, host=""))
        events = [{"name": "network-changed", "server_uuid": one} for one in (server.id, NOBODY, homeless.id)]
        events.append({"name": "accelerator-request-bound", "server_uuid": server.id})
        response = await tell(world, *events, version="2.82")
        assert response.status == 207
        shown = (await response.json())["events"]
        assert [event["code"] for event in shown] == [200, 404, 422, 400]
        assert [event["status"] for event in shown] == ["completed", "failed", "failed", "failed"]


async def test_none_at_all_is_404() -> None:
    async with compute_world() as world:
        response = await tell(world, {"name": "network-changed", "server_uuid": NOBODY})
        assert response.status == 404
        assert (await response.json())["itemNotFound"]["message"] == "No instances found for any event"


@pytest.mark.parametrize(
    "event",
    [
        {"name": "network-changed"},
        {"server_uuid": NOBODY},
        {"name": "nonsense", "server_uuid": NOBODY},
        {"name": "network-changed", "server_uuid": "nonsense"},
        {"name": "network-changed", "server_uuid": NOBODY, "status": "nonsense"},
        {"name": "network-changed", "server_uuid": NOBODY, "tag": "x" * 256},
        {"name": "network-changed", "server_uuid": NOBODY, "more": 1},
    ],
)
async def test_events_that_are_none(event: dict[str, Any]) -> None:
    async with compute_world() as world:
        assert (await tell(world, event)).status == 400


async def test_who_may_tell() -> None:
    async with compute_world() as world:
        server = world.add(made_instance(1))
        event = {"name": "network-changed", "server_uuid": server.id}
        assert (await tell(world, event, token="demo")).status == 403
        assert (await tell(world, event, token="service")).status == 200


async def test_power_updates_act(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        first, second = await cloud.boot("a"), await cloud.boot("b")

        async def tell_power(tag: str, *servers: str, status: int = 200) -> Any:
            events = [{"name": "power-update", "server_uuid": one, "tag": tag} for one in servers]
            return await cloud.ask("POST", PATH, status, "admin", "2.76", json={"events": events})

        await tell_power("POWER_OFF", first, second)
        for server in (first, second):
            await cloud.until(server, "SHUTOFF")
        # They are off: nothing to do.
        await tell_power("POWER_OFF", first)
        await cloud.until(first, "SHUTOFF")
        await tell_power("POWER_ON", first)
        assert (await cloud.until(first, "ACTIVE"))["OS-EXT-STS:power_state"] == 1
        wrong = await tell_power("POWER_SIDEWAYS", first, NOBODY, status=404)
        assert "No instances" in wrong["itemNotFound"]["message"]

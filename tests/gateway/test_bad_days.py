"""Requests that meet: many clients and one server, the same delete twice, markers of what is gone."""

import asyncio
from pathlib import Path

from gateway.compute.rewriting import ATTEMPTS
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

ACTIONS = (
    {"pause": None},
    {"suspend": None},
    {"os-stop": None},
    {"reboot": {"type": "HARD"}},
    {"rescue": None},
)


async def _status(cloud: FakeCloud, method: str, path: str, **options: object) -> tuple[int, str]:
    headers = {"X-Auth-Token": "demo", "OpenStack-API-Version": "compute latest"}
    async with cloud.client.request(method, "/v2.1" + path, headers=headers, **options) as response:  # type: ignore[arg-type]
        return response.status, await response.text()


async def test_many_clients_act_on_one_server_at_once(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        answers = await asyncio.gather(
            *(_status(cloud, "POST", f"/servers/{server}/action", json=action) for action in ACTIONS * 3)
        )
        accepted = [status for status, _ in answers if status in (200, 202)]
        refused = [text for status, text in answers if status == 409]
        assert len(accepted) + len(refused) == len(answers), answers
        assert accepted
        # Who came while another's task was under way is told of it; who came later, of the state it made.
        assert all("task_state" in text or "vm_state" in text for text in refused), refused
        async with asyncio.timeout(20):
            while (await cloud.show(server))["OS-EXT-STS:task_state"] is not None:
                await asyncio.sleep(0.01)
        found = await cloud.show(server)
        pairs = {
            "ACTIVE": ("active", 1),
            "PAUSED": ("paused", 3),
            "SUSPENDED": ("suspended", 4),
            "SHUTOFF": ("stopped", 4),
            "RESCUE": ("rescued", 1),
        }
        state, power = pairs[found["status"]]
        assert found["OS-EXT-STS:vm_state"] == state
        assert found["OS-EXT-STS:power_state"] in (power, 7 if state == "suspended" else power)
        path = f"/servers/{server}/os-instance-actions"
        actions = (await cloud.ask("GET", path, 200, "admin"))["instanceActions"]
        assert len(actions) == 1 + len(accepted)


async def test_clients_who_change_one_record_at_once(tmp_path: Path) -> None:
    """Each adds an item of its own, and none takes away another's."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        keys = [f"k{number}" for number in range(ATTEMPTS)]
        path = f"/servers/{server}"
        items = [_status(cloud, "PUT", f"{path}/metadata/{key}", json={"meta": {key: "v"}}) for key in keys]
        assert {status for status, _ in await asyncio.gather(*items)} == {200}
        tags = [_status(cloud, "PUT", f"{path}/tags/{key}") for key in keys]
        assert {status for status, _ in await asyncio.gather(*tags)} == {201}
        found = await cloud.show(server)
        assert sorted(found["metadata"]) == sorted(found["tags"]) == keys


async def test_the_same_delete_twice(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        answers = await asyncio.gather(*(_status(cloud, "DELETE", f"/servers/{server}") for _ in range(6)))
        statuses = sorted(status for status, _ in answers)
        assert statuses[0] == 204
        assert set(statuses) <= {204, 404}
        await cloud.until_gone(server)
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert limits["totalInstancesUsed"] == 0
        assert await _status(cloud, "DELETE", f"/servers/{server}") == (
            404,
            f'{{"itemNotFound":{{"code":404,"message":"Instance {server} could not be found."}}}}',
        )


async def test_a_marker_that_has_been_deleted(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        servers = [await cloud.boot(f"vm{number}") for number in range(3)]
        page = await cloud.ask("GET", "/servers?limit=1&sort_key=created_at&sort_dir=asc", 200)
        assert [one["id"] for one in page["servers"]] == servers[:1]
        await cloud.ask("DELETE", f"/servers/{servers[0]}", 204)
        await cloud.until_gone(servers[0])
        # A page that was begun goes on, as upstream.
        path = "/servers?limit=1&sort_key=created_at&sort_dir=asc&marker="
        page = await cloud.ask("GET", path + servers[0], 200)
        assert [one["id"] for one in page["servers"]] == servers[1:2]
        answer = await cloud.ask("GET", path + cloud.image, 400)
        assert answer["badRequest"]["message"] == f"marker [{cloud.image}] not found"
        gone = await cloud.ask("GET", "/servers?deleted=true&all_tenants=true", 200, "admin")
        assert [one["id"] for one in gone["servers"]] == servers[:1]
        path = f"/servers?deleted=true&all_tenants=true&marker={servers[0]}"
        assert (await cloud.ask("GET", path, 200, "admin"))["servers"] == []

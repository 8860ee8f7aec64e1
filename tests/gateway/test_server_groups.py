"""Server groups: their shapes by microversion, their quotas, and where their members end up."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.conductor.options import QuotaOptions
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud

GROUPS = "/os-server-groups"
NOBODY = "70a599e0-31e7-49b7-b260-868f441e862b"


async def grouped(cloud: FakeCloud, policy: str, token: str = "demo", **rules: int) -> str:
    """A new group's id."""
    body: dict[str, Any] = {"server_group": {"name": "g", "policy": policy}}
    if rules:
        body["server_group"]["rules"] = rules
    made = await cloud.ask("POST", GROUPS, 200, token, json=body)
    group_id: str = made["server_group"]["id"]
    return group_id


async def hosts_of(cloud: FakeCloud, servers: list[str]) -> Counter[str]:
    """How many of these servers each host has."""
    return Counter([(await cloud.show(one))["OS-EXT-SRV-ATTR:host"] for one in servers])


async def test_shapes_by_microversion(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path) as cloud:
        old = {"server_group": {"name": "old", "policies": ["affinity"]}}
        made = (await cloud.ask("POST", GROUPS, 200, version="2.1", json=old))["server_group"]
        assert made == {
            "id": made["id"],
            "name": "old",
            "policies": ["affinity"],
            "members": [],
            "metadata": {},
        }
        made = (await cloud.ask("GET", f"{GROUPS}/{made['id']}", 200, version="2.13"))["server_group"]
        assert (made["project_id"], made["user_id"]) == ("demo", "u-demo")
        new = {
            "server_group": {"name": "n", "policy": "anti-affinity", "rules": {"max_server_per_host": "3"}}
        }
        made = (await cloud.ask("POST", GROUPS, 200, version="2.64", json=new))["server_group"]
        assert made.keys() == {"id", "name", "policy", "rules", "members", "project_id", "user_id"}
        assert (made["policy"], made["rules"]) == ("anti-affinity", {"max_server_per_host": 3})
        plain = await cloud.ask("GET", f"{GROUPS}/{made['id']}", 200, version="2.1")
        assert plain["server_group"]["policies"] == ["anti-affinity"]
        assert (await cloud.show(await cloud.boot(), version="2.71"))["server_groups"] == []


@pytest.mark.parametrize(
    ("version", "group"),
    [
        ("2.1", {"name": "x"}),
        ("2.1", {"name": "x", "policies": []}),
        ("2.1", {"name": "x", "policies": ["affinity", "anti-affinity"]}),
        ("2.1", {"name": "", "policies": ["affinity"]}),
        ("2.1", {"name": "x" * 256, "policies": ["affinity"]}),
        ("2.14", {"name": "x", "policies": ["soft-affinity"]}),
        ("2.63", {"name": "x", "policy": "affinity"}),
        ("2.64", {"name": "x", "policies": ["affinity"]}),
        ("2.64", {"name": "x", "policy": "together"}),
        ("2.64", {"name": "x", "policy": "affinity", "rules": {"max_server_per_host": 2}}),
        ("2.64", {"name": "x", "policy": "anti-affinity", "rules": {"max_server_per_host": 0}}),
        ("2.64", {"name": "x", "policy": "anti-affinity", "rules": {"min_server_per_host": 1}}),
    ],
)
async def test_groups_that_can_not_be(tmp_path: Path, version: str, group: dict[str, Any]) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        answer = await cloud.ask("POST", GROUPS, 400, version=version, json={"server_group": group})
        assert answer["badRequest"]["code"] == 400


async def test_soft_policies_are_there_from_2_15(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        body = {"server_group": {"name": "x", "policies": ["soft-anti-affinity"]}}
        made = await cloud.ask("POST", GROUPS, 200, version="2.15", json=body)
        assert made["server_group"]["policies"] == ["soft-anti-affinity"]


async def test_who_sees_and_removes_them(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        mine, theirs = await grouped(cloud, "affinity"), await grouped(cloud, "affinity", "other")
        assert [one["id"] for one in (await cloud.ask("GET", GROUPS, 200))["server_groups"]] == [mine]
        for token in ("other", "demo"):
            # Only an administrator's all_projects is heard.
            found = await cloud.ask("GET", GROUPS + "?all_projects=1", 200, token)
            assert len(found["server_groups"]) == 1
        found = await cloud.ask("GET", GROUPS + "?all_projects", 200, "admin")
        assert [one["id"] for one in found["server_groups"]] == [mine, theirs]
        paged = await cloud.ask("GET", GROUPS + "?all_projects=1&limit=1&offset=1", 200, "admin")
        assert [one["id"] for one in paged["server_groups"]] == [theirs]
        assert (await cloud.ask("GET", GROUPS + "?offset=1", 200))["server_groups"] == []
        await cloud.ask("GET", GROUPS + "?limit=-1", 400)
        await cloud.ask("GET", GROUPS + "?colour=1", 400, version="2.75")
        await cloud.ask("GET", GROUPS + "?colour=1", 200, version="2.74")
        await cloud.ask("GET", f"{GROUPS}/{theirs}", 403)
        await cloud.ask("GET", f"{GROUPS}/{theirs}", 200, "admin")
        await cloud.ask("DELETE", f"{GROUPS}/{mine}", 403, "reader")
        await cloud.ask(
            "POST", GROUPS, 403, "reader", json={"server_group": {"name": "x", "policy": "affinity"}}
        )
        await cloud.ask("DELETE", f"{GROUPS}/{theirs}", 403)
        await cloud.ask("DELETE", f"{GROUPS}/{mine}", 204)
        gone = await cloud.ask("DELETE", f"{GROUPS}/{mine}", 404)
        assert gone["itemNotFound"]["message"] == f"Instance group {mine} could not be found."


async def test_a_batch_spreads_and_a_full_house_refuses(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=3) as cloud:
        group = await grouped(cloud, "anti-affinity")
        await cloud.boot("web", wait="", min_count=3, hints={"group": group})
        servers = (await cloud.ask("GET", "/servers", 200))["servers"]
        ids = [server["id"] for server in servers]
        for one in ids:
            await cloud.until(one, "ACTIVE")
        assert await hosts_of(cloud, ids) == dict.fromkeys(("host1", "host2", "host3"), 1)
        shown = (await cloud.ask("GET", f"{GROUPS}/{group}", 200))["server_group"]
        assert sorted(shown["members"]) == sorted(ids)
        refused = await cloud.boot("fourth", wait="ERROR", hints={"group": group})
        fault = (await cloud.show(refused))["fault"]["message"]
        assert "ServerGroupAntiAffinityFilter left 0" in fault
        assert (await cloud.show(ids[0], version="2.71"))["server_groups"] == [group]
        renamed = await cloud.ask("PUT", f"/servers/{ids[0]}", 200, json={"server": {"name": "x"}})
        assert renamed["server"]["server_groups"] == [group]
        # What is deleted makes room.
        await cloud.ask("DELETE", f"/servers/{ids[0]}", 204)
        await cloud.until_gone(ids[0])
        await cloud.boot("again", hints={"group": group})
        # A group that is gone binds nobody.
        await cloud.ask("DELETE", f"{GROUPS}/{group}", 204)
        assert (await cloud.show(ids[1]))["server_groups"] == []


async def test_rules_admit_more_on_a_host(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        group = await grouped(cloud, "anti-affinity", max_server_per_host=2)
        ids = [await cloud.boot(hints={"group": group}) for _ in range(4)]
        assert await hosts_of(cloud, ids) == {"host1": 2, "host2": 2}
        await cloud.boot(wait="ERROR", hints={"group": group})


@pytest.mark.parametrize("policy", ["affinity", "soft-affinity"])
async def test_affinity_keeps_members_together(tmp_path: Path, policy: str) -> None:
    async with fake_cloud(tmp_path, hosts=3) as cloud:
        group = await grouped(cloud, policy)
        first = await cloud.boot(hints={"group": group})
        await cloud.boot("rest", wait="", min_count=4, hints={"group": group})
        ids = [server["id"] for server in (await cloud.ask("GET", "/servers", 200))["servers"]]
        for one in ids:
            await cloud.until(one, "ACTIVE")
        assert await hosts_of(cloud, ids) == {(await cloud.show(first))["OS-EXT-SRV-ATTR:host"]: 5}


async def test_soft_anti_affinity_spreads_and_then_fills(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        group = await grouped(cloud, "soft-anti-affinity")
        ids = [await cloud.boot(hints={"group": group}) for _ in range(4)]
        assert await hosts_of(cloud, ids) == {"host1": 2, "host2": 2}


async def test_groups_that_a_server_can_not_be_in(tmp_path: Path) -> None:
    quota = QuotaOptions(quota_server_groups=1, quota_server_group_members=2)
    async with fake_cloud(tmp_path, conductor=replace(CONDUCTOR, quota=quota)) as cloud:
        mine, theirs = await grouped(cloud, "affinity"), await grouped(cloud, "affinity", "other")
        server = {"name": "x", "imageRef": cloud.image, "flavorRef": "1", "networks": "auto"}

        async def refused(status: int, group: str, **more: Any) -> str:
            body = {"server": server | more, "os:scheduler_hints": {"group": group}}
            answer = await cloud.ask("POST", "/servers", status, json=body)
            (fault,) = answer.values()
            message: str = fault["message"]
            return message

        assert await refused(400, NOBODY) == f"Instance group {NOBODY} could not be found."
        assert await refused(400, theirs) == f"Instance group {theirs} could not be found."
        assert "group" in await refused(400, "not-a-uuid")
        assert await refused(403, mine, min_count=3) == "Quota exceeded, too many servers in group"
        body = {"server_group": {"name": "x", "policy": "affinity"}}
        full = await cloud.ask("POST", GROUPS, 403, json=body)
        assert full["forbidden"]["message"] == "Quota exceeded, too many server groups."
        assert (await cloud.ask("GET", "/servers", 200))["servers"] == []


async def test_hints_that_name_other_servers(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=2) as cloud:
        first = await cloud.boot()
        beside = await cloud.boot(hints={"same_host": [first]})
        apart = await cloud.boot(hints={"different_host": [first, beside]})
        assert len(await hosts_of(cloud, [first, beside])) == 1
        assert len(await hosts_of(cloud, [first, apart])) == 2
        await cloud.boot(wait="ERROR", hints={"different_host": [first, apart]})
        # Of a server that isn't there nobody knows where it is.
        await cloud.boot(wait="ERROR", hints={"same_host": NOBODY})
        await cloud.boot(hints={"different_host": NOBODY})
        wrong = {"same_host": "x"}, {"build_near_host_ip": "x"}, {"cidr": "24"}, {"query": 1}
        for hints in wrong:
            body = {"server": {"name": "x", "flavorRef": "1"}, "os:scheduler_hints": hints}
            await cloud.ask("POST", "/servers", 400, version="2.1", json=body)


async def test_groups_cost_two_statements_however_many(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=1) as cloud:
        for _ in range(3):
            group = await grouped(cloud, "affinity")
            await cloud.boot(hints={"group": group})
        assert len((await cloud.ask("GET", GROUPS, 200))["server_groups"]) == 3
        assert len(cloud.statements) == 2

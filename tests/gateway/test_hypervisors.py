"""os-hypervisors at the microversions that changed it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.fake_cloud import FakeCloud, fake_cloud

PATH = "/os-hypervisors"
BRIEF = {"id", "hypervisor_hostname", "state", "status"}
ALWAYS = BRIEF | {"hypervisor_type", "hypervisor_version", "host_ip", "service"}
SUMS = {
    "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used",
    "free_disk_gb", "disk_available_least", "current_workload", "running_vms",
}  # fmt: skip


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=3) as made:
        yield made


async def ask(cloud: FakeCloud, path: str, version: str, status: int = 200) -> Any:
    """A question of an administrator."""
    return await cloud.ask("GET", PATH + path, status, "admin", version)


async def listed(cloud: FakeCloud, path: str, version: str) -> list[dict[str, Any]]:
    """The hypervisors of an answer."""
    found: list[dict[str, Any]] = (await ask(cloud, path, version))["hypervisors"]
    return found


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2.1", ALWAYS | SUMS | {"cpu_info"}),
        ("2.27", ALWAYS | SUMS | {"cpu_info"}),
        ("2.28", ALWAYS | SUMS | {"cpu_info"}),
        ("2.53", ALWAYS | SUMS | {"cpu_info"}),
        ("2.87", ALWAYS | SUMS | {"cpu_info"}),
        ("2.88", ALWAYS | {"uptime"}),
    ],
)
async def test_fields(cloud: FakeCloud, version: str, fields: set[str]) -> None:
    one = (await listed(cloud, "/detail", version))[0]
    assert one.keys() == fields
    assert (await ask(cloud, f"/{one['id']}", version))["hypervisor"].keys() == fields
    assert (await listed(cloud, "", version))[0].keys() == BRIEF
    by_id = isinstance(one["id"], str)
    assert by_id == (int(version.partition(".")[2]) >= 53)
    assert one["service"].keys() == {"id", "host", "disabled_reason"}
    assert isinstance(one["service"]["id"], str) == by_id
    if "cpu_info" in fields:
        assert isinstance(one["cpu_info"], str if version in ("2.1", "2.27") else dict)


async def test_workload_is_what_goes_on(cloud: FakeCloud) -> None:
    driver = cloud.drivers["host1"]
    for name in ("host2", "host3"):
        body = {"host": name, "binary": "nova-compute"}
        await cloud.ask("PUT", "/os-services/disable", 200, "admin", "2.1", json=body)
    await cloud.boot("settled")
    assert (await listed(cloud, "/detail", "2.1"))[0]["current_workload"] == 0
    driver.hypervisor.options.delays["spawn"] = 0.5  # type: ignore[index]
    await cloud.boot("under way", wait="")
    seen = set()
    for _ in range(200):
        one = (await listed(cloud, "/detail", "2.1"))[0]
        seen.add((one["running_vms"], one["current_workload"]))
        if (2, 1) in seen:
            break
    assert (2, 1) in seen
    # Sums are of hosts that are enabled.
    sums = (await ask(cloud, "/statistics", "2.1"))["hypervisor_statistics"]
    assert sums.keys() == SUMS | {"count"}
    assert (sums["count"], sums["running_vms"], sums["vcpus"]) == (1, 2, 1000)


async def test_servers(cloud: FakeCloud) -> None:
    ids = {await cloud.boot(f"vm{i}", availability_zone=f"nova:host{i}", token="admin") for i in (1, 2)}
    # The hypervisor's names for them, as upstream: not the users'.
    first, second = "instance-00000001", "instance-00000002"
    old = await listed(cloud, "/fake/servers", "2.52")
    assert {server["uuid"] for one in old for server in one.get("servers", ())} == ids
    assert [len(one.get("servers", ())) for one in old] == [1, 1, 0]
    assert "servers" not in old[2]
    for path in ("", "/detail"):
        assert all("servers" not in one for one in await listed(cloud, path, "2.75"))
        new = await listed(cloud, path + "?with_servers=1", "2.53")
        assert [[server["name"] for server in one.get("servers", ())] for one in new] == [
            [first],
            [second],
            [],
        ]
        assert "servers" not in new[2]
        assert [one["servers"] == [] for one in await listed(cloud, path + "?with_servers=true", "2.75")] == [
            False, False, True,
        ]  # fmt: skip
        before = len(cloud.statements)
        assert before < 8
    one = (await ask(cloud, f"/{new[0]['id']}?with_servers=yes", "2.88"))["hypervisor"]
    assert [server["name"] for server in one["servers"]] == [first]
    await ask(cloud, "?with_servers=maybe", "2.53", 400)
    await ask(cloud, "/fake/servers", "2.53", 404)
    await ask(cloud, "/absent/servers", "2.1", 404)


async def test_pages(cloud: FakeCloud) -> None:
    everyone = await listed(cloud, "", "2.33")
    assert len(everyone) == 3
    # Before there were pages, nobody looks at these.
    assert len(await listed(cloud, "?limit=1&marker=x", "2.32")) == 3
    for version in ("2.33", "2.53", "2.88"):
        ids = [one["id"] for one in await listed(cloud, "", version)]
        page = await ask(cloud, "?limit=2", version)
        assert [one["id"] for one in page["hypervisors"]] == ids[:2]
        [link] = page["hypervisors_links"]
        assert link["rel"] == "next"
        rest = await ask(cloud, link["href"].partition(PATH)[2], version)
        assert [one["id"] for one in rest["hypervisors"]] == ids[2:]
        assert "hypervisors_links" not in rest
        assert (await ask(cloud, "?limit=0", version))["hypervisors"] == []
        for wrong in ("?limit=-1", "?limit=x", "?marker=absent", "?marker=4711"):
            await ask(cloud, wrong, version, 400)
    link = (await ask(cloud, "/detail?limit=1&with_servers=1", "2.53"))["hypervisors_links"][0]["href"]
    assert "/os-hypervisors/detail?" in link
    assert "with_servers=1" in link


async def test_search(cloud: FakeCloud) -> None:
    assert len(await listed(cloud, "/mini/search", "2.52")) == 3
    assert len(await listed(cloud, "?hypervisor_hostname_pattern=mini", "2.53")) == 3
    assert len(await listed(cloud, "/detail?hypervisor_hostname_pattern=fake-mini", "2.88")) == 3
    await ask(cloud, "/absent/search", "2.1", 404)
    await ask(cloud, "/mini/search", "2.53", 404)
    for wrong, status in (
        ("?hypervisor_hostname_pattern=absent", 404),
        ("?hypervisor_hostname_pattern=a%20b", 400),
        ("?hypervisor_hostname_pattern=mini&limit=1", 400),
        ("?hypervisor_hostname_pattern=mini&marker=x", 400),
        ("?unknown=1", 400),
        ("?with_servers=1&with_servers=1", 400),
    ):
        await ask(cloud, wrong, "2.53", status)


async def test_uptime(cloud: FakeCloud) -> None:
    one, other, _ = await listed(cloud, "/detail", "2.1")
    shown = (await ask(cloud, f"/{one['id']}/uptime", "2.1"))["hypervisor"]
    assert shown.keys() == BRIEF | {"uptime"}
    assert "up" in shown["uptime"]
    down = {"host": other["service"]["host"], "binary": "nova-compute", "forced_down": True}
    await cloud.ask("PUT", "/os-services/force-down", 200, "admin", "2.11", json=down)
    await ask(cloud, f"/{other['id']}/uptime", "2.1", 400)
    await ask(cloud, "/4711/uptime", "2.1", 404)
    await ask(cloud, "/x/uptime", "2.1", 404)
    states = {h["state"]: h["uptime"] for h in await listed(cloud, "/detail", "2.88")}
    assert states["down"] is None
    assert states["up"]
    new = await listed(cloud, "", "2.87")
    await ask(cloud, f"/{new[0]['id']}/uptime", "2.87")
    await ask(cloud, f"/{new[0]['id']}/uptime", "2.88", 404)
    await ask(cloud, "/1", "2.53", 400)
    await ask(cloud, "/00000000-0000-4000-8000-000000000000", "2.53", 404)


async def test_services_filters_and_ids(cloud: FakeCloud) -> None:
    async def services(query: str, version: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await cloud.ask("GET", "/os-services" + query, 200, "admin", version))[
            "services"
        ]
        return found

    assert {one["host"] for one in await services("?binary=nova-compute", "2.1")} == {
        "host1", "host2", "host3",
    }  # fmt: skip
    [one] = await services("?binary=nova-compute&host=host2", "2.1")
    assert one.keys() == {
        "binary", "host", "id", "zone", "status", "state", "updated_at", "disabled_reason",
    }  # fmt: skip
    assert isinstance(one["id"], int)
    [new] = await services("?binary=nova-compute&host=host2", "2.53")
    assert new.keys() == one.keys() | {"forced_down"}
    assert len(new["id"]) == 36
    assert await services("?binary=absent", "2.1") == await services("?host=absent", "2.1") == []
    assert await services("?unknown=1", "2.74")
    await cloud.ask("GET", "/os-services?unknown=1", 400, "admin", "2.75")
    await cloud.ask("PUT", "/os-services/no-such-action", 404, "admin", "2.1", json={})

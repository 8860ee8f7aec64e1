"""Evacuation through the whole cloud: hosts that die, and one that comes back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivers.virt.fake.options import FakeOptions
from novamesh.failures import DriverFailureError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud


@asynccontextmanager
async def clouded(folder: Path, hosts: int = 2) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(folder, hosts=hosts, conductor=replace(CONDUCTOR, max_attempts=2)) as cloud:
        yield cloud


async def down(cloud: FakeCloud, host: str) -> None:
    """A host dies, and an administrator says so, which is faster than its silence."""
    await cloud.kill(host)
    await _force_down(cloud, host, True)


async def back(cloud: FakeCloud, host: str) -> None:
    await _force_down(cloud, host, False)
    await cloud.revive(host)


async def _force_down(cloud: FakeCloud, host: str, value: bool) -> None:
    path = f"/os-services?host={host}&binary=nova-compute"
    (service,) = (await cloud.ask("GET", path, 200, "admin"))["services"]
    await cloud.ask("PUT", f"/os-services/{service['id']}", 200, "admin", json={"forced_down": value})


async def evacuate(cloud: FakeCloud, server: str, status: int = 200, **given: Any) -> Any:
    version = given.pop("version", "latest")
    return await cloud.act(server, "evacuate", given, status, token="admin", version=version)


async def record(cloud: FakeCloud, server: str) -> dict[str, Any]:
    answer = await cloud.ask("GET", f"/os-migrations?instance_uuid={server}", 200, "admin")
    newest: dict[str, Any] = answer["migrations"][0]
    return newest


def guests(cloud: FakeCloud, server: str) -> dict[str, int]:
    return {
        name: driver.hypervisor.guests[server].state
        for name, driver in cloud.drivers.items()
        if server in driver.hypervisor.guests
    }


async def test_a_host_dies_and_comes_back(tmp_path: Path) -> None:
    async with clouded(tmp_path) as cloud:
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        before = await cloud.show(server)
        refused = await evacuate(cloud, server, 400)
        assert "is still in use" in refused["badRequest"]["message"]
        # What is wrong with the host that is named comes first, as upstream.
        await evacuate(cloud, server, 404, host="absent")
        refused = await evacuate(cloud, server, 400, host="host1")
        assert "can't be the same one" in refused["badRequest"]["message"]
        await down(cloud, "host1")
        assert await evacuate(cloud, server, version="2.94") is None
        after = await cloud.until(server, "ACTIVE")
        assert after["OS-EXT-SRV-ATTR:host"] == "host2"
        assert after["addresses"] == before["addresses"]
        assert after["image"]["id"] == before["image"]["id"]
        made = await record(cloud, server)
        assert (made["migration_type"], made["status"]) == ("evacuation", "done")
        assert (made["source_compute"], made["dest_compute"]) == ("host1", "host2")
        # The old guest has heard nothing of it.
        assert guests(cloud, server) == {"host1": POWER_STATE_RUNNING, "host2": POWER_STATE_RUNNING}
        await back(cloud, "host1")
        async with asyncio.timeout(20):
            while (await record(cloud, server))["status"] != "completed":
                await asyncio.sleep(0.05)
        assert guests(cloud, server) == {"host2": POWER_STATE_RUNNING}
        assert (await cloud.show(server))["OS-EXT-SRV-ATTR:host"] == "host2"
        used = (await cloud.ask("GET", "/os-hypervisors/detail", 200, "admin", "2.87"))["hypervisors"]
        assert {one["service"]["host"]: one["vcpus_used"] for one in used} == {"host1": 0, "host2": 1}


async def test_off_stays_off_and_newer_versions_leave_it_off(tmp_path: Path) -> None:
    async with clouded(tmp_path) as cloud:
        off = await cloud.boot("off", token="admin", availability_zone="nova:host1")
        on = await cloud.boot("on", token="admin", availability_zone="nova:host1")
        await cloud.act(off, "os-stop", token="admin")
        await cloud.until(off, "SHUTOFF")
        await down(cloud, "host1")
        await evacuate(cloud, off, version="2.94")
        await evacuate(cloud, on, version="2.95")
        for server in (off, on):
            assert (await cloud.until(server, "SHUTOFF"))["OS-EXT-SRV-ATTR:host"] == "host2"
            assert guests(cloud, server)["host2"] == POWER_STATE_SHUTDOWN


async def test_what_each_version_takes_and_answers(tmp_path: Path) -> None:
    async with clouded(tmp_path, hosts=3) as cloud:
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        await down(cloud, "host1")
        await cloud.act(server, "evacuate", {}, 403)
        absent = await evacuate(cloud, server, 404, host="absent")
        assert absent["itemNotFound"]["message"] == "Compute host absent not found."
        same = await evacuate(cloud, server, 400, host="host1")
        assert same["badRequest"]["message"] == "The target host can't be the same one."
        both = await evacuate(cloud, server, 400, onSharedStorage=True, adminPass="x", version="2.13")
        assert both["badRequest"]["message"] == "admin password can't be changed on existing disk"
        await evacuate(cloud, server, 400, version="2.13")
        await evacuate(cloud, server, 400, onSharedStorage=True, version="2.14")
        await evacuate(cloud, server, 400, force=True, version="2.29")
        await evacuate(cloud, server, 400, force=True, host="host2", version="2.68")
        answer = await evacuate(cloud, server, onSharedStorage=False, adminPass="secret", version="2.13")
        assert answer == {"adminPass": "secret"}
        first = (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"]
        await down(cloud, first)
        last = {"host2": "host3", "host3": "host2"}[first]
        answer = await evacuate(cloud, server, onSharedStorage=True, host=last, version="2.13")
        assert answer == {"adminPass": None}
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == last


async def test_no_host_is_left(tmp_path: Path) -> None:
    async with clouded(tmp_path, hosts=1) as cloud:
        server = await cloud.boot("vm")
        await down(cloud, "host1")
        await evacuate(cloud, server)
        failed = await cloud.until(server, "ERROR")
        assert failed["OS-EXT-SRV-ATTR:host"] == "host1"
        assert failed["fault"]["message"].startswith("No valid host was found.")
        assert (await record(cloud, server))["status"] == "error"
        # Once there is one, it may be evacuated again.
        await cloud.add_host("host2")
        await evacuate(cloud, server, version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host2"


async def test_a_destination_that_fails_is_given_up_for_another(tmp_path: Path) -> None:
    async with clouded(tmp_path, hosts=1) as cloud:
        server = await cloud.boot("vm")
        for name in ("broken", "fine"):
            await cloud.add_host(name, FakeOptions(memory_mb=9_000_000 if name == "broken" else 8_000))
        cloud.drivers["broken"].hypervisor.fail("spawn", DriverFailureError("fake", "spawn", "no"), times=99)
        await down(cloud, "host1")
        await evacuate(cloud, server, version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "fine"
        used = (await cloud.ask("GET", "/os-hypervisors/detail", 200, "admin", "2.87"))["hypervisors"]
        assert {one["service"]["host"]: one["vcpus_used"] for one in used} == {
            "host1": 0,
            "broken": 0,
            "fine": 1,
        }


async def test_what_was_under_way_on_the_dead_host_is_overtaken(tmp_path: Path) -> None:
    async with clouded(tmp_path) as cloud:
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        await down(cloud, "host1")
        # It waits for its host, which never comes.
        await cloud.act(server, "os-stop", token="admin")
        assert (await cloud.show(server))["OS-EXT-STS:task_state"] == "powering-off"
        await evacuate(cloud, server, version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host2"


async def test_a_destination_that_is_away_for_a_moment_is_asked_again(tmp_path: Path) -> None:
    async with clouded(tmp_path) as cloud:
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        await down(cloud, "host1")
        cloud.drivers["host2"].hypervisor.fail("spawn", UnavailableError("libvirt", "away"), times=2)
        await evacuate(cloud, server, version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host2"


async def test_a_live_migration_to_a_host_that_died_is_overtaken(tmp_path: Path) -> None:
    async with clouded(tmp_path, hosts=3) as cloud:
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        # The guest has gone, and its new host dies before it has said so.
        cloud.drivers["host2"].hypervisor.fail("finish_migration", UnavailableError("libvirt", "away"), 99)
        given = {"host": "host2", "block_migration": "auto"}
        await cloud.act(server, "os-migrateLive", given, token="admin")
        async with asyncio.timeout(20):
            while (await record(cloud, server))["status"] != "post-migrating":
                await asyncio.sleep(0.02)
        await down(cloud, "host2")
        await evacuate(cloud, server, version="2.94")
        after = await cloud.until(server, "ACTIVE")
        assert after["OS-EXT-SRV-ATTR:host"] in ("host1", "host3")
        used = (await cloud.ask("GET", "/os-hypervisors/detail", 200, "admin", "2.87"))["hypervisors"]
        assert sum(one["vcpus_used"] for one in used) == 1

"""Live migrations through the whole cloud: two and three hosts, fake hypervisors, real roles between."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.virt.fake.live_migration import SECONDS_KEY
from drivers.virt.fake.options import FakeOptions
from novamesh.types.v1.instance_pb2 import POWER_STATE_PAUSED, POWER_STATE_RUNNING
from tests.gateway.fake_cloud import FakeCloud, fake_cloud

LONG = {SECONDS_KEY: "600"}
AUTO = {"host": None, "block_migration": "auto"}


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=2) as made:
        yield made


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not await check():
            await asyncio.sleep(0.02)


async def live(cloud: FakeCloud, server: str, status: int = 202, **how: Any) -> Any:
    given = how.pop("given", AUTO)
    return await cloud.act(server, "os-migrateLive", given, status, token="admin", **how)


async def migrations(cloud: FakeCloud, server: str) -> list[dict[str, Any]]:
    answer = await cloud.ask("GET", f"/os-migrations?instance_uuid={server}", 200, "admin")
    found: list[dict[str, Any]] = answer["migrations"]
    return found


async def under_way(cloud: FakeCloud, server: str, status: str = "running") -> dict[str, Any]:
    """The server's live migration once it has that status."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        found[:] = (await cloud.ask("GET", f"/servers/{server}/migrations", 200, "admin"))["migrations"]
        return [one["status"] for one in found] == [status]

    await eventually(there)
    return found[0]


async def ended(cloud: FakeCloud, server: str, status: str) -> dict[str, Any]:
    """The server's newest migration once it has that status, with the server at rest."""

    async def there() -> bool:
        newest = next(iter(await migrations(cloud, server)))
        return bool(newest["status"] == status)

    await eventually(there)
    return (await migrations(cloud, server))[0]


def places(cloud: FakeCloud, server: str) -> dict[str, int]:
    """Power states of the server's guests by host."""
    return {
        name: driver.hypervisor.guests[server].state
        for name, driver in cloud.drivers.items()
        if server in driver.hypervisor.guests
    }


async def used(cloud: FakeCloud) -> dict[str, tuple[int, int]]:
    """Claimed VCPUs and servers of each host."""
    answer = await cloud.ask("GET", "/os-hypervisors/detail", 200, "admin", "2.87")
    return {one["service"]["host"]: (one["vcpus_used"], one["running_vms"]) for one in answer["hypervisors"]}


async def test_a_guest_moves_with_its_claims_and_addresses(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm")
    before = await cloud.show(server)
    old = before["OS-EXT-SRV-ATTR:host"]
    new = {"host1": "host2", "host2": "host1"}[old]
    await live(cloud, server)
    after = await cloud.until(server, "ACTIVE")
    assert after["OS-EXT-SRV-ATTR:host"] == new
    assert after["addresses"] == before["addresses"]
    assert after["OS-SRV-USG:launched_at"] == before["OS-SRV-USG:launched_at"]
    assert after["hostId"] != before["hostId"]
    assert places(cloud, server) == {new: POWER_STATE_RUNNING}
    assert await used(cloud) == {old: (0, 0), new: (1, 1)}
    (record,) = await migrations(cloud, server)
    assert (record["status"], record["migration_type"]) == ("completed", "live-migration")
    assert (record["source_compute"], record["dest_compute"]) == (old, new)
    assert record["user_id"] == "u-admin"
    assert "links" not in record
    (action, _) = (await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200))["instanceActions"]
    assert action["action"] == "live-migration"
    # And back, paused.
    await cloud.act(server, "pause")
    await cloud.until(server, "PAUSED")
    await live(cloud, server, given={"host": old, "block_migration": True, "force": True}, version="2.67")
    assert (await cloud.until(server, "PAUSED"))["OS-EXT-SRV-ATTR:host"] == old
    assert places(cloud, server) == {old: POWER_STATE_PAUSED}


async def test_a_migration_that_runs_is_seen_and_forced(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm", metadata=LONG)
    await live(cloud, server)
    shown = await under_way(cloud, server)
    assert (await cloud.show(server))["status"] == "MIGRATING"

    async def counted() -> bool:
        path = f"/servers/{server}/migrations/{shown['id']}"
        one = (await cloud.ask("GET", path, 200, "admin"))["migration"]
        return bool(one["memory_total_bytes"] == 512 << 20 and one["disk_total_bytes"] == 1 << 30)

    await eventually(counted)
    assert sorted(shown) == sorted(
        [
            "created_at",
            "dest_compute",
            "dest_host",
            "dest_node",
            "disk_processed_bytes",
            "disk_remaining_bytes",
            "disk_total_bytes",
            "id",
            "memory_processed_bytes",
            "memory_remaining_bytes",
            "memory_total_bytes",
            "project_id",
            "server_uuid",
            "source_compute",
            "source_node",
            "status",
            "updated_at",
            "user_id",
            "uuid",
        ]
    )
    old = await cloud.ask("GET", f"/servers/{server}/migrations/{shown['id']}", 200, "admin", "2.58")
    assert not {"uuid", "user_id", "project_id"} & old["migration"].keys()
    (listed,) = await migrations(cloud, server)
    assert [link["rel"] for link in listed["links"]] == ["self", "bookmark"]
    assert listed["links"][0]["href"].endswith(f"/v2.1/servers/{server}/migrations/{shown['id']}")
    await cloud.act(server, "pause", status=409)
    path = f"/servers/{server}/migrations/{shown['id']}/action"
    await cloud.ask("POST", path, 403, json={"force_complete": None})
    await cloud.ask("POST", path, 400, "admin", json={"force_complete": 1})
    await cloud.ask("POST", path, 404, "admin", "2.21", json={"force_complete": None})
    await cloud.ask("POST", path, 202, "admin", json={"force_complete": None})
    await cloud.until(server, "ACTIVE")
    assert (await ended(cloud, server, "completed"))["dest_compute"] == shown["dest_compute"]
    names = (await cloud.ask("GET", f"/servers/{server}/os-instance-actions", 200))["instanceActions"]
    assert {one["action"] for one in names} == {"live_migration_force_complete", "live-migration", "create"}
    # It is over.
    gone = await cloud.ask("GET", f"/servers/{server}/migrations/{shown['id']}", 404, "admin")
    assert gone["itemNotFound"]["message"] == (
        f"Live migration {shown['id']} for server {server} is not in progress."
    )
    assert (await cloud.ask("GET", f"/servers/{server}/migrations", 200, "admin"))["migrations"] == []
    late = await cloud.ask("POST", path, 409, "admin", json={"force_complete": None})
    assert late["conflictingRequest"]["message"].startswith(
        f"Cannot 'force_complete' instance {server} while it is in task_state None"
    )


async def test_a_migration_that_runs_is_aborted(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm", metadata=LONG)
    old = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
    await live(cloud, server)
    shown = await under_way(cloud, server)
    path = f"/servers/{server}/migrations/{shown['id']}"
    await cloud.ask("DELETE", path, 404, "admin", "2.23")
    await cloud.ask("DELETE", f"/servers/{server}/migrations/999", 404, "admin")
    await cloud.ask("DELETE", path, 202, "admin", "2.24")
    after = await cloud.until(server, "ACTIVE")
    assert after["OS-EXT-SRV-ATTR:host"] == old
    assert places(cloud, server) == {old: POWER_STATE_RUNNING}
    await ended(cloud, server, "cancelled")
    assert (await used(cloud))[shown["dest_compute"]] == (0, 0)
    await cloud.ask("DELETE", path, 409, "admin")


async def test_others_wait_for_their_turn_and_may_be_aborted_meanwhile(cloud: FakeCloud) -> None:
    first = await cloud.boot("first", metadata=LONG, token="admin", availability_zone="nova:host1")
    second = await cloud.boot("second", metadata=LONG, token="admin", availability_zone="nova:host1")
    third = await cloud.boot("third", token="admin", availability_zone="nova:host1")
    await live(cloud, first)
    await under_way(cloud, first)
    for server in (second, third):
        await live(cloud, server)
        await under_way(cloud, server, "queued")
    waiting = await under_way(cloud, second, "queued")
    path = f"/servers/{second}/migrations/{waiting['id']}"
    refused = await cloud.ask("DELETE", path, 400, "admin", "2.64")
    assert refused["badRequest"]["message"] == (
        f"Migration {waiting['id']} state of instance {second} is queued. "
        "Cannot abort live migration while the migration is in this state."
    )
    await cloud.ask("DELETE", path, 202, "admin", "2.65")
    await cloud.until(second, "ACTIVE")
    await ended(cloud, second, "cancelled")
    running = await under_way(cloud, first)
    await cloud.ask("DELETE", f"/servers/{first}/migrations/{running['id']}", 202, "admin")
    assert (await cloud.until(third, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host2"
    await cloud.until(first, "ACTIVE")


async def test_what_is_refused_at_once(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm")
    host = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[host]
    absent = await live(cloud, server, 400, given=AUTO | {"host": "absent"})
    assert absent["badRequest"]["message"] == "Compute host absent could not be found."
    await live(cloud, server, 400, given=AUTO | {"force": True}, version="2.30")
    await live(cloud, server, 400, given=AUTO | {"force": True, "host": other}, version="2.68")
    await live(cloud, server, 400, given=AUTO, version="2.24")
    await live(cloud, server, 400, given={"host": None, "block_migration": "auto"}, version="2.24")
    await cloud.act(server, "os-migrateLive", AUTO, 403)
    # Up to 2.33 the answer has what the checks have found.
    cloud.most_statements = 100
    for version in ("2.1", "2.25", "2.33"):
        given: dict[str, Any] = {"host": host, "block_migration": False}
        if version == "2.1":
            given["disk_over_commit"] = False
        refused = await live(cloud, server, 400, given=given, version=version)
        assert refused["badRequest"]["message"] == f"Unable to migrate instance ({server}) to current host."
        await cloud.until(server, "ACTIVE")
    shared = await live(cloud, server, 400, given={"host": other, "block_migration": False}, version="2.30")
    assert shared["badRequest"]["message"].startswith("Shared storage live-migration requires")
    await cloud.until(server, "ACTIVE")
    # Later it is accepted, and ends as an error.
    await live(cloud, server, given={"host": host, "block_migration": "auto"}, version="2.34")
    await ended(cloud, server, "error")
    await cloud.until(server, "ACTIVE")
    await cloud.act(server, "os-stop")
    await cloud.until(server, "SHUTOFF")
    stopped = await live(cloud, server, 409)
    assert "vm_state stopped" in stopped["conflictingRequest"]["message"]


async def test_destinations_are_compared(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=1) as cloud:
        cloud.most_statements = 400
        await cloud.add_host("old", FakeOptions(hypervisor_version=999_999))
        await cloud.add_host("strange", FakeOptions(cpu_model="EV67"))
        await cloud.add_host("small", FakeOptions(memory_mb=600))
        server = await cloud.boot("vm", token="admin", availability_zone="nova:host1")
        for host, why in (
            ("old", "The instance requires a newer hypervisor version than has been provided."),
            ("strange", "Unacceptable CPU info: the guest has fake, and the host EV67."),
        ):
            given = {"host": host, "block_migration": "auto"}
            refused = await live(cloud, server, 400, given=given, version="2.25")
            assert refused["badRequest"]["message"] == why
            await cloud.until(server, "ACTIVE")
        await cloud.boot("filler", token="admin", availability_zone="nova:small")
        given = {"host": "small", "block_migration": "auto"}
        refused = await live(cloud, server, 400, given=given, version="2.25")
        assert "Lack of memory(host:" in refused["badRequest"]["message"]
        await cloud.until(server, "ACTIVE")
        # Left to the scheduler it finds that none will do, whatever it tries first.
        refused = await live(cloud, server, 400, given=AUTO, version="2.25")
        assert refused["badRequest"]["message"].startswith("No valid host was found.")
        await cloud.until(server, "ACTIVE")
        await cloud.add_host("fine")
        await live(cloud, server)
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "fine"


async def test_lists_of_migrations(cloud: FakeCloud) -> None:
    servers = [await cloud.boot(f"vm{number}") for number in range(3)]
    for server in servers:
        await live(cloud, server)
        await cloud.until(server, "ACTIVE")

    async def listed(query: str, version: str = "2.80", token: str = "admin") -> list[str]:
        answer = await cloud.ask("GET", f"/os-migrations?{query}", 200, token, version)
        return [one["instance_uuid"] for one in answer["migrations"]]

    newest = list(reversed(servers))
    assert await listed("") == newest
    assert await listed("status=completed&migration_type=live-migration") == newest
    assert await listed("status=running") == await listed("status=nonsense") == []
    assert await listed("host=host1") == newest
    assert await listed("user_id=u-admin&project_id=admin") == newest
    assert await listed("project_id=demo") == []
    assert await listed("changes-since=2020-01-01T00:00:00Z") == newest
    assert await listed("changes-before=2020-01-01T00:00:00Z") == []
    # What a version doesn't know is passed over, until it is refused.
    assert await listed("changes-since=2999-01-01T00:00:00Z", "2.58") == newest
    await cloud.ask("GET", "/os-migrations?nonsense=1", 400, "admin", "2.59")
    await cloud.ask("GET", "/os-migrations?changes-before=2999-01-01T00:00:00Z", 400, "admin", "2.65")
    await cloud.ask("GET", "/os-migrations?user_id=u", 400, "admin", "2.79")
    page = await cloud.ask("GET", "/os-migrations?limit=2", 200, "admin")
    (link,) = page["migrations_links"]
    rest = await cloud.ask("GET", link["href"].partition("/v2.1")[2], 200, "admin")
    assert len(page["migrations"]) + len(rest["migrations"]) == 3
    refused = await cloud.ask("GET", f"/os-migrations?marker={cloud.image}", 400, "admin")
    assert refused["badRequest"]["message"] == f"Marker {cloud.image} could not be found."
    await cloud.ask("GET", "/os-migrations", 403)
    first = (await cloud.ask("GET", "/os-migrations", 200, "admin", "2.1"))["migrations"][0]
    assert sorted(first) == sorted(
        [
            "created_at",
            "dest_compute",
            "dest_host",
            "dest_node",
            "id",
            "instance_uuid",
            "new_instance_type_id",
            "old_instance_type_id",
            "source_compute",
            "source_node",
            "status",
            "updated_at",
        ]
    )

"""Actions resize, confirmResize, revertResize and migrate, from the request to the guests of fake hosts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from db.schema.usage import usage_periods
from drivers.virt.fake import FakeOptions
from novamesh.conductor.v1.instance_service_pb2 import GetInstanceRequest
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest
from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.failures import DriverFailureError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import MigrationStatus, MigrationType
from services.conductor.options import QuotaOptions
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=1) as cloud:
        yield cloud


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    """Two hosts, and resizes that have to leave."""
    options = replace(CONDUCTOR, allow_resize_to_same_host=False)
    async with fake_cloud(tmp_path, hosts=2, conductor=options) as cloud:
        yield cloud


def guests(cloud: FakeCloud) -> dict[str, list[str]]:
    """Ids of guests by host."""
    return {name: list(driver.hypervisor.guests) for name, driver in cloud.drivers.items()}


def kept(cloud: FakeCloud) -> dict[str, list[str]]:
    """The same of what is kept aside."""
    return {name: list(driver.hypervisor.kept) for name, driver in cloud.drivers.items()}


async def used(cloud: FakeCloud) -> dict[str, tuple[int, int, int]]:
    """Virtual CPUs, MiB and instances claimed by host."""
    answer = await cloud.ask("GET", "/os-hypervisors/detail", 200, "admin", version="2.87")
    return {
        one["service"]["host"]: (one["vcpus_used"], one["memory_mb_used"], one["running_vms"])
        for one in answer["hypervisors"]
    }


async def quota(cloud: FakeCloud) -> tuple[int, int, int]:
    """Instances, cores and MiB that the project uses."""
    absolute = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
    return (
        absolute["totalInstancesUsed"],
        absolute["totalCoresUsed"],
        absolute["totalRAMUsed"],
    )


async def migrations(cloud: FakeCloud) -> list[tuple[str, str]]:
    """Types and statuses, the newest first."""
    stub = MigrationServiceStub(cloud.node.channel("conductor"))
    answer = await stub.ListMigrations(ListMigrationsRequest())
    return [
        (
            MigrationType.Name(one.type).removeprefix("MIGRATION_TYPE_"),
            MigrationStatus.Name(one.status).removeprefix("MIGRATION_STATUS_"),
        )
        for one in answer.migrations
    ]


async def instance(cloud: FakeCloud, server_id: str) -> Instance:
    """The record, fault included, which the API shows of servers in ERROR only."""
    stub = InstanceServiceStub(cloud.node.channel("conductor"))
    return (await stub.GetInstance(GetInstanceRequest(id=server_id))).instance


async def large(cloud: FakeCloud) -> str:
    """A flavor with 3 VCPUs, 2048 MB and 4 GB."""
    given = {"name": "large", "id": "large", "ram": 2048, "vcpus": 3, "disk": 4}
    await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": given})
    return "large"


async def refused(cloud: FakeCloud, server_id: str, action: str, given: object, **how: Any) -> str:
    """The message of an action that is refused."""
    answer = await cloud.act(server_id, action, given, **how)
    [body] = answer.values()
    assert body["code"] == how["status"]
    message: str = body["message"]
    return message


async def test_resized_in_place_and_confirmed(cloud: FakeCloud) -> None:
    flavor = await large(cloud)
    server_id = await cloud.boot()
    await cloud.act(server_id, "resize", {"flavorRef": flavor, "OS-DCF:diskConfig": "AUTO"})
    server = await cloud.until(server_id, "VERIFY_RESIZE")
    assert server["flavor"]["original_name"] == "large"
    assert server["OS-EXT-STS:vm_state"] == "resized"
    assert server["OS-EXT-STS:power_state"] == 1
    assert server["OS-DCF:diskConfig"] == "AUTO"
    assert server["progress"] == 0
    # Both sizes are held, and the larger one counts.
    assert await used(cloud) == {"host1": (4, 2560, 2)}
    assert await quota(cloud) == (1, 3, 2048)
    assert kept(cloud) == {"host1": [server_id]}
    assert await cloud.act(server_id, "confirmResize", status=204) is None
    server = await cloud.until(server_id, "ACTIVE")
    assert server["flavor"]["original_name"] == "large"
    assert await used(cloud) == {"host1": (3, 2048, 1)}
    assert await quota(cloud) == (1, 3, 2048)
    assert kept(cloud) == {"host1": []}
    assert cloud.drivers["host1"].hypervisor.guest(server_id).flavor.name == "large"  # type: ignore[union-attr]
    assert await migrations(cloud) == [("RESIZE", "CONFIRMED")]
    actions = (await cloud.ask("GET", f"/servers/{server_id}/os-instance-actions", 200))["instanceActions"]
    assert [one["action"] for one in actions] == ["confirmResize", "resize", "create"]


async def test_reverted(cloud: FakeCloud) -> None:
    flavor = await large(cloud)
    server_id = await cloud.boot()
    await cloud.act(server_id, "resize", {"flavorRef": flavor})
    await cloud.until(server_id, "VERIFY_RESIZE")
    await cloud.act(server_id, "revertResize")
    server = await cloud.until(server_id, "ACTIVE")
    assert server["flavor"]["original_name"] == "m1.tiny"
    assert server["OS-EXT-STS:power_state"] == 1
    assert await used(cloud) == {"host1": (1, 512, 1)}
    assert await quota(cloud) == (1, 1, 512)
    assert kept(cloud) == {"host1": []}
    assert await migrations(cloud) == [("RESIZE", "REVERTED")]


async def test_smaller_memory_counts_once_it_is_confirmed(cloud: FakeCloud) -> None:
    flavor = await large(cloud)
    less = {"name": "less", "id": "less", "ram": 64, "vcpus": 1, "disk": 4}
    await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": less})
    server_id = await cloud.boot(flavorRef=flavor)
    await cloud.act(server_id, "resize", {"flavorRef": "less"})
    await cloud.until(server_id, "VERIFY_RESIZE")
    assert await quota(cloud) == (1, 3, 2048)
    await cloud.act(server_id, "revertResize")
    await cloud.until(server_id, "ACTIVE")
    assert await quota(cloud) == (1, 3, 2048)
    await cloud.act(server_id, "resize", {"flavorRef": "less"})
    await cloud.until(server_id, "VERIFY_RESIZE")
    await cloud.act(server_id, "confirmResize", status=204)
    await cloud.until(server_id, "ACTIVE")
    assert await quota(cloud) == (1, 1, 64)


@pytest.mark.parametrize("end", ["confirmResize", "revertResize"])
async def test_a_stopped_server_stays_stopped(cloud: FakeCloud, end: str) -> None:
    server_id = await cloud.boot()
    await cloud.act(server_id, "os-stop")
    await cloud.until(server_id, "SHUTOFF")
    await cloud.act(server_id, "resize", {"flavorRef": "2"})
    server = await cloud.until(server_id, "VERIFY_RESIZE")
    assert server["OS-EXT-STS:power_state"] == 4
    await cloud.act(server_id, end, status=204 if end == "confirmResize" else 202)
    server = await cloud.until(server_id, "SHUTOFF")
    assert server["OS-EXT-STS:power_state"] == 4
    await cloud.act(server_id, "os-start")
    await cloud.until(server_id, "ACTIVE")


async def test_resized_on_another_host(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    before = await pair.show(server_id)
    source = before["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[source]
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    server = await pair.until(server_id, "VERIFY_RESIZE")
    assert server["OS-EXT-SRV-ATTR:host"] == other
    assert server["addresses"] == before["addresses"]
    assert [card.host for card in (await instance(pair, server_id)).interfaces] == [other]
    assert guests(pair) == {source: [], other: [server_id]}
    assert kept(pair) == {source: [server_id], other: []}
    assert await used(pair) == {source: (1, 512, 1), other: (1, 1024, 1)}
    await pair.act(server_id, "revertResize")
    server = await pair.until(server_id, "ACTIVE")
    assert server["OS-EXT-SRV-ATTR:host"] == source
    assert [card.host for card in (await instance(pair, server_id)).interfaces] == [source]
    assert guests(pair) == {source: [server_id], other: []}
    assert await used(pair) == {source: (1, 512, 1), other: (0, 0, 0)}


async def test_migrated(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    source = (await pair.show(server_id))["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[source]
    await pair.act(server_id, "migrate", token="admin")
    server = await pair.until(server_id, "VERIFY_RESIZE")
    assert server["OS-EXT-SRV-ATTR:host"] == other
    assert server["flavor"]["original_name"] == "m1.tiny"
    assert await quota(pair) == (1, 1, 512)
    await pair.act(server_id, "confirmResize", status=204)
    await pair.until(server_id, "ACTIVE")
    assert guests(pair) == {source: [], other: [server_id]}
    assert kept(pair) == {source: [], other: []}
    assert await used(pair) == {source: (0, 0, 0), other: (1, 512, 1)}
    assert await migrations(pair) == [("MIGRATION", "CONFIRMED")]


async def test_migrated_to_a_certain_host(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    source = (await pair.show(server_id))["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[source]
    how: dict[str, Any] = {"status": 400, "token": "admin"}
    said = await refused(pair, server_id, "migrate", {"host": source}, **how)
    assert said == "Cannot migrate to the host where the server exists."
    said = await refused(pair, server_id, "migrate", {"host": "nobody"}, **how)
    assert said == "Compute host nobody could not be found."
    assert "host" in await refused(pair, server_id, "migrate", {"host": "a b"}, **how)
    assert "extra" in await refused(pair, server_id, "migrate", {"extra": 1}, **how)
    assert "migrate" in await refused(pair, server_id, "migrate", {"host": other}, status=403)
    await pair.act(server_id, "migrate", {"host": other}, token="admin")
    server = await pair.until(server_id, "VERIFY_RESIZE")
    assert server["OS-EXT-SRV-ATTR:host"] == other


async def test_before_2_56_migrate_names_no_host(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    source = (await pair.show(server_id))["OS-EXT-SRV-ATTR:host"]
    await pair.act(server_id, "migrate", {"host": source}, token="admin", version="2.55")
    server = await pair.until(server_id, "VERIFY_RESIZE")
    assert server["OS-EXT-SRV-ATTR:host"] != source


async def test_one_host_has_nowhere_to_migrate_to(cloud: FakeCloud) -> None:
    server_id = await cloud.boot()
    said = await refused(cloud, server_id, "migrate", None, status=400, token="admin")
    assert said.startswith("No valid host was found.")
    assert (await cloud.show(server_id))["status"] == "ACTIVE"
    assert await migrations(cloud) == []


async def test_refused(cloud: FakeCloud) -> None:
    server_id = await cloud.boot()
    zero = {"name": "zero", "id": "zero", "ram": 512, "vcpus": 1, "disk": 0}
    await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": zero})
    how: dict[str, Any] = {"status": 400}
    said = await refused(cloud, server_id, "resize", {"flavorRef": "1"}, **how)
    assert said == "When resizing, instances must change flavor!"
    said = await refused(cloud, server_id, "resize", {"flavorRef": "none"}, **how)
    assert said == "Flavor none could not be found."
    said = await refused(cloud, server_id, "resize", {"flavorRef": "zero"}, **how)
    assert said.endswith("Resize to zero disk flavor is not allowed.")
    assert "flavorRef" in await refused(cloud, server_id, "resize", {}, **how)
    assert "more" in await refused(cloud, server_id, "resize", {"flavorRef": "2", "more": 1}, **how)
    for action in ("confirmResize", "revertResize"):
        said = await refused(cloud, server_id, action, None, status=409)
        assert said.startswith(f"Cannot '{action}' instance {server_id} while it is in vm_state active")
    # A user can't send servers about.
    await refused(cloud, server_id, "migrate", None, status=403)
    await refused(cloud, server_id, "resize", {"flavorRef": "2"}, status=403, token="reader")
    await refused(cloud, server_id, "resize", {"flavorRef": "2"}, status=404, token="other")
    await cloud.act(server_id, "resize", {"flavorRef": "2"})
    await cloud.until(server_id, "VERIFY_RESIZE")
    said = await refused(cloud, server_id, "resize", {"flavorRef": "1"}, status=409)
    assert said.startswith(f"Cannot 'resize' instance {server_id} while it is in vm_state resized")


async def test_beyond_the_quota(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, quota=QuotaOptions(quota_cores=2))
    async with fake_cloud(tmp_path, conductor=options) as cloud:
        flavor = await large(cloud)
        server_id = await cloud.boot()
        said = await refused(cloud, server_id, "resize", {"flavorRef": flavor}, status=403)
        assert said == "Quota exceeded for cores: Requested 2, but already used 1 of 2 cores"
        assert (await cloud.show(server_id))["status"] == "ACTIVE"
        assert await quota(cloud) == (1, 1, 512)
        assert await migrations(cloud) == []


async def test_without_room_it_stays_as_it_was(cloud: FakeCloud) -> None:
    huge = {"name": "huge", "id": "huge", "ram": 9_000_000_0, "vcpus": 1, "disk": 1}
    await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": huge})
    limit = {"quota_set": {"ram": -1}}
    await cloud.ask("PUT", "/os-quota-sets/demo", 200, "admin", json=limit)
    server_id = await cloud.boot()
    await cloud.act(server_id, "resize", {"flavorRef": "huge"})
    await cloud.until(server_id, "ACTIVE")
    assert (await instance(cloud, server_id)).fault.message.startswith("No valid host was found.")
    assert await used(cloud) == {"host1": (1, 512, 1)}
    assert await quota(cloud) == (1, 1, 512)
    assert await migrations(cloud) == [("RESIZE", "ERROR")]


async def test_root_disks_do_not_shrink(cloud: FakeCloud) -> None:
    server_id = await cloud.boot(flavorRef="2")
    said = await refused(cloud, server_id, "resize", {"flavorRef": "1"}, status=400)
    assert said.startswith("Flavor's disk is smaller than the minimum size specified in image metadata.")


async def test_a_driver_that_refuses_leaves_the_server_as_it_was(cloud: FakeCloud) -> None:
    more = {"name": "more", "id": "more", "ram": 512, "vcpus": 1, "disk": 1, "OS-FLV-EXT-DATA:ephemeral": 1}
    await cloud.ask("POST", "/flavors", 200, "admin", json={"flavor": more})
    server_id = await cloud.boot(flavorRef="more")
    await cloud.act(server_id, "resize", {"flavorRef": "1"})
    server = await cloud.until(server_id, "ACTIVE")
    assert server["flavor"]["original_name"] == "more"
    found = await instance(cloud, server_id)
    assert (found.fault.code, found.fault.message) == (400, "Resize error: Unable to resize disk down.")
    assert await used(cloud) == {"host1": (1, 512, 1)}
    assert await quota(cloud) == (1, 1, 512)
    assert cloud.drivers["host1"].hypervisor.guest(server_id).boots == 1
    assert await migrations(cloud) == [("RESIZE", "ERROR")]


async def test_a_destination_that_fails_is_left_again(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    source = (await pair.show(server_id))["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[source]
    broken = NotSupportedError("resize", "This guest can't run here.")
    pair.drivers[other].hypervisor.fail("finish_resize", broken)
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    server = await pair.until(server_id, "ACTIVE")
    assert server["OS-EXT-SRV-ATTR:host"] == source
    assert server["flavor"]["original_name"] == "m1.tiny"
    assert (await instance(pair, server_id)).fault.message == "This guest can't run here."
    assert guests(pair) == {source: [server_id], other: []}
    assert kept(pair) == {source: [], other: []}
    assert await used(pair) == {source: (1, 512, 1), other: (0, 0, 0)}
    assert await quota(pair) == (1, 1, 512)
    assert await migrations(pair) == [("RESIZE", "ERROR")]


async def test_a_failure_that_passes_is_nobodys_business(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    for driver in pair.drivers.values():
        for method in ("migrate_disks", "finish_resize", "confirm_resize"):
            driver.hypervisor.fail(method, DriverFailureError("fake", method, "Not now."))
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    await pair.until(server_id, "VERIFY_RESIZE")
    await pair.act(server_id, "confirmResize", status=204)
    await pair.until(server_id, "ACTIVE")
    assert not (await instance(pair, server_id)).HasField("fault")


async def test_a_source_that_cannot_restore_the_guest_keeps_it(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    source = (await pair.show(server_id))["OS-EXT-SRV-ATTR:host"]
    other = {"host1": "host2", "host2": "host1"}[source]
    broken = NotSupportedError("resize", "No.")
    pair.drivers[other].hypervisor.fail("finish_resize", broken)
    pair.drivers[source].hypervisor.fail("finish_revert", broken)
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    server = await pair.until(server_id, "ERROR")
    assert server["fault"]["message"] == "No."
    assert server["OS-EXT-SRV-ATTR:host"] == source
    assert kept(pair) == {source: [server_id], other: []}
    assert await used(pair) == {source: (1, 512, 1), other: (0, 0, 0)}
    await pair.act(server_id, "reboot", {"type": "HARD"})
    await pair.until(server_id, "ACTIVE")
    assert guests(pair) == {source: [server_id], other: []}
    await pair.ask("DELETE", f"/servers/{server_id}", 204)
    await pair.until_gone(server_id)
    assert kept(pair) == {source: [], other: []}
    assert await used(pair) == {source: (0, 0, 0), other: (0, 0, 0)}


async def test_deleted_while_it_waits(pair: FakeCloud) -> None:
    server_id = await pair.boot()
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    await pair.until(server_id, "VERIFY_RESIZE")
    await pair.ask("DELETE", f"/servers/{server_id}", 204)
    await pair.until_gone(server_id)
    assert guests(pair) == kept(pair) == {"host1": [], "host2": []}
    assert await used(pair) == {"host1": (0, 0, 0), "host2": (0, 0, 0)}
    assert await quota(pair) == (0, 0, 0)
    assert await migrations(pair) == [("RESIZE", "CONFIRMED")]


@pytest.mark.parametrize("method", ["migrate_disks", "finish_resize", "revert_resize", "finish_revert"])
async def test_deleted_on_the_way(tmp_path: Path, method: str) -> None:
    options = replace(CONDUCTOR, allow_resize_to_same_host=False)
    async with fake_cloud(tmp_path, hosts=0, conductor=options) as cloud:
        for name in ("host1", "host2"):
            await cloud.add_host(name, FakeOptions(delays={method: 30.0}))
        server_id = await cloud.boot()
        await cloud.act(server_id, "resize", {"flavorRef": "2"})
        if method.endswith("_revert") or method.startswith("revert"):
            await cloud.until(server_id, "VERIFY_RESIZE")
            await cloud.act(server_id, "revertResize")
        await asyncio.sleep(0.3)
        assert (await cloud.show(server_id))["OS-EXT-STS:task_state"]
        await cloud.ask("DELETE", f"/servers/{server_id}", 204)
        await cloud.until_gone(server_id)
        assert guests(cloud) == kept(cloud) == {"host1": [], "host2": []}
        assert await used(cloud) == {"host1": (0, 0, 0), "host2": (0, 0, 0)}
        assert await quota(cloud) == (0, 0, 0)
        assert await migrations(cloud) == [("RESIZE", "FAILED")]


async def test_confirmed_by_itself(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, conductor=replace(CONDUCTOR, resize_confirm_window=1)) as cloud:
        server_id = await cloud.boot()
        await cloud.act(server_id, "resize", {"flavorRef": "2"})
        await cloud.until(server_id, "ACTIVE")
        assert await migrations(cloud) == [("RESIZE", "CONFIRMED")]
        assert await used(cloud) == {"host1": (1, 1024, 1)}


async def test_after_a_reset_of_its_state_it_may_be_resized_again(pair: FakeCloud) -> None:
    flavor = await large(pair)
    server_id = await pair.boot()
    await pair.act(server_id, "resize", {"flavorRef": "2"})
    await pair.until(server_id, "VERIFY_RESIZE")
    await pair.act(server_id, "os-resetState", {"state": "active"}, token="admin")
    await pair.act(server_id, "resize", {"flavorRef": flavor})
    server = await pair.until(server_id, "VERIFY_RESIZE")
    await pair.act(server_id, "revertResize")
    server = await pair.until(server_id, "ACTIVE")
    assert server["flavor"]["original_name"] == "m1.small"
    assert await migrations(pair) == [("RESIZE", "REVERTED"), ("RESIZE", "FAILED")]
    assert sum(vcpus for vcpus, _, _ in (await used(pair)).values()) == 1
    assert await quota(pair) == (1, 1, 1024)


async def test_usage_follows_the_flavor(cloud: FakeCloud) -> None:
    server_id = await cloud.boot()
    await cloud.act(server_id, "resize", {"flavorRef": "2"})
    await cloud.until(server_id, "VERIFY_RESIZE")
    await cloud.act(server_id, "revertResize")
    await cloud.until(server_id, "ACTIVE")
    columns = (usage_periods.c.flavor_name, usage_periods.c.began, usage_periods.c.ended)
    found = await cloud.database.read(
        lambda c: c.execute(select(*columns).order_by(usage_periods.c.number)).all()
    )
    assert [row.flavor_name for row in found] == ["m1.tiny", "m1.small", "m1.tiny"]
    # Without a gap, and the last one goes on.
    assert [row.ended for row in found] == [found[1].began, found[2].began, None]

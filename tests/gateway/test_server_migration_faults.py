"""Live migrations that go wrong: failures, parts that are away, hosts that die, mistakes, deletes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from novamesh.failures import DriverFailureError, NotFoundError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING
from services.conductor import moves
from tests.gateway.fake_cloud import COMPUTE, CONDUCTOR, FakeCloud, fake_cloud
from tests.gateway.test_server_migrations import LONG, ended, live, places, under_way, used


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[FakeCloud]:
    async with fake_cloud(tmp_path, hosts=2) as made:
        yield made


@pytest.mark.parametrize("method", ["prepare_migration", "migrate_live"])
async def test_a_failure_leaves_the_guest_where_it_was(cloud: FakeCloud, method: str) -> None:
    server = await cloud.boot("vm")
    before = await cloud.show(server)
    for driver in cloud.drivers.values():
        driver.hypervisor.fail(method, DriverFailureError("fake", method, "no"), times=100)
    await live(cloud, server)
    await ended(cloud, server, "failed" if method == "migrate_live" else "error")
    after = await cloud.until(server, "ACTIVE")
    assert after["OS-EXT-SRV-ATTR:host"] == before["OS-EXT-SRV-ATTR:host"]
    assert sum(vcpus for vcpus, _ in (await used(cloud)).values()) == 1
    assert not any(driver.hypervisor.expects(server) for driver in cloud.drivers.values())


@pytest.mark.parametrize(
    "method",
    ["check_migration", "prepare_migration", "migrate_live", "finish_migration", "clean_migration"],
)
async def test_a_part_that_is_away_for_a_moment_is_asked_again(cloud: FakeCloud, method: str) -> None:
    server = await cloud.boot("vm")
    old = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
    new = {"host1": "host2", "host2": "host1"}[old]
    for driver in cloud.drivers.values():
        driver.hypervisor.fail(method, UnavailableError("libvirt", "away"), times=2)
    await live(cloud, server, given={"host": new, "block_migration": "auto"})
    await ended(cloud, server, "completed")
    assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == new
    assert places(cloud, server) == {new: POWER_STATE_RUNNING}
    assert await used(cloud) == {old: (0, 0), new: (1, 1)}


async def test_a_mistake_after_the_guest_has_left_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(CONDUCTOR, operation_lease=1.0)
    async with fake_cloud(tmp_path, hosts=2, conductor=options) as cloud:
        await _mistaken(cloud, monkeypatch)


async def _mistaken(cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    server = await cloud.boot("vm")
    real, broken = moves.go, [True]

    def go(*given: Any) -> None:
        if broken:
            broken.clear()
            raise ZeroDivisionError("a mistake")
        real(*given)

    monkeypatch.setattr(moves, "go", go)
    await live(cloud, server)
    made = await ended(cloud, server, "completed")
    assert not broken
    assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == made["dest_compute"]
    assert places(cloud, server) == {made["dest_compute"]: POWER_STATE_RUNNING}


async def test_a_guest_that_is_lost_on_its_way(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm")
    for driver in cloud.drivers.values():
        driver.hypervisor.fail("finish_migration", NotFoundError("instance", server), times=1)
    await live(cloud, server)
    made = await ended(cloud, server, "error")
    lost = await cloud.until(server, "ERROR")
    # A hard reboot makes it anew where it should be.
    assert lost["OS-EXT-SRV-ATTR:host"] == made["dest_compute"]
    await cloud.act(server, "reboot", {"type": "HARD"})
    await cloud.until(server, "ACTIVE")
    assert sum(vcpus for vcpus, _ in (await used(cloud)).values()) == 1


async def test_the_destination_dies_while_the_guest_is_sent(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, service_down_time=1.5, report_interval=0.2)
    beating = replace(COMPUTE, report_interval=0.2)
    async with fake_cloud(tmp_path, hosts=2, conductor=options, compute=beating) as cloud:
        server = await cloud.boot("vm", metadata=LONG)
        old = (await cloud.show(server))["OS-EXT-SRV-ATTR:host"]
        await live(cloud, server)
        shown = await under_way(cloud, server)
        await cloud.kill(shown["dest_compute"])
        after = await cloud.until(server, "ACTIVE")
        assert after["OS-EXT-SRV-ATTR:host"] == old
        assert places(cloud, server)[old] == POWER_STATE_RUNNING
        await ended(cloud, server, "failed")
        assert (await used(cloud))[shown["dest_compute"]] == (0, 0)


async def test_a_delete_overtakes_a_migration(cloud: FakeCloud) -> None:
    server = await cloud.boot("vm", metadata=LONG)
    await live(cloud, server)
    await under_way(cloud, server)
    await cloud.ask("DELETE", f"/servers/{server}", 204)
    await cloud.until_gone(server)
    assert places(cloud, server) == {}
    assert set((await used(cloud)).values()) == {(0, 0)}

"""shelve, shelveOffload and unshelve through a whole cloud."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db import instances, interfaces
from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions
from drivers.virt.protocols import Boot
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import DriverFailureError, ResourceExhaustedError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import VirtualInterface
from tests.gateway.fake_cloud import CONDUCTOR, FakeCloud, fake_cloud
from tests.gateway.test_server_evacuate import down
from tests.gateway.test_server_snapshots import images, last_action, under_way

NEVER = replace(CONDUCTOR, shelved_offload_time=-1)


@asynccontextmanager
async def kept(folder: Path, hosts: int = 1) -> AsyncIterator[FakeCloud]:
    """A cloud in which shelved servers keep their hosts."""
    async with fake_cloud(folder, hosts, NEVER) as cloud:
        yield cloud


async def record(cloud: FakeCloud, server: str) -> Instance:
    """The conductor's, with the network cards."""
    return await cloud.database.read(lambda c: interfaces.attach(c, instances.get(c, server)))


async def used(cloud: FakeCloud) -> dict[str, tuple[int, int]]:
    """Instances and MiB that count as claimed, by host."""
    answer = await HostServiceStub(cloud.node.channel("conductor")).ListHosts(ListHostsRequest())
    return {host.name: (host.usage.instances, host.usage.memory_mb) for host in answer.hosts}


def cards(instance: Instance) -> list[tuple[str, str]]:
    """Addresses, and what tells the cards apart."""
    return [(card.mac_address, card.address) for card in instance.interfaces]


def hosts_of(instance: Instance) -> set[str]:
    """Hosts that the cards are plugged in on."""
    found: list[VirtualInterface] = list(instance.interfaces)
    return {card.host for card in found}


async def test_shelved_and_back(tmp_path: Path) -> None:
    """It stays on its host, and is powered on again."""
    async with kept(tmp_path) as cloud:
        server = await cloud.boot("web")
        before = await record(cloud, server)
        await cloud.act(server, "shelve")
        shown = await cloud.until(server, "SHELVED")
        assert shown["OS-EXT-STS:power_state"] == 4
        assert shown["OS-EXT-SRV-ATTR:host"] == "host1"
        (image,) = await images(cloud, "?name=web-shelved")
        shelved = await record(cloud, server)
        assert shelved.system_metadata["shelved_image_id"] == image["id"]
        assert shelved.system_metadata["shelved_host"] == "host1"
        assert shelved.system_metadata["shelved_at"].startswith("20")
        assert (image["status"], image["server"]["id"]) == ("ACTIVE", server)
        for action in ("os-start", "reboot", "pause", "createImage", "shelve"):
            given = {"reboot": {"type": "HARD"}, "createImage": {"name": "x"}}.get(action)
            await cloud.act(server, action, given, 409)
        await cloud.act(server, "unshelve")
        shown = await cloud.until(server, "ACTIVE")
        assert shown["OS-EXT-STS:power_state"] == 1
        assert cards(await record(cloud, server)) == cards(before)
        assert not [key for key in (await record(cloud, server)).system_metadata if "shelved" in key]
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        await cloud.act(server, "unshelve", None, 409)


async def test_offloaded_and_back(tmp_path: Path) -> None:
    """It holds nothing of any host meanwhile, and comes back with the addresses that it had."""
    async with kept(tmp_path, 2) as cloud:
        server = await cloud.boot("web")
        before = await record(cloud, server)
        free = {name: size for name, size in (await used(cloud)).items() if name != before.host}
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED")
        await cloud.act(server, "shelveOffload", None, 403)
        await cloud.act(server, "shelveOffload", token="admin")
        shown = await cloud.until(server, "SHELVED_OFFLOADED")
        assert shown["OS-EXT-SRV-ATTR:host"] is None
        assert shown["OS-EXT-SRV-ATTR:hypervisor_hostname"] is None
        assert shown["OS-EXT-AZ:availability_zone"] == ""
        assert shown["hostId"] == ""
        assert shown["addresses"]["private"][0]["addr"] == before.interfaces[0].address
        away = await record(cloud, server)
        assert (cards(away), hosts_of(away)) == (cards(before), {""})
        assert server not in cloud.drivers[before.host].hypervisor.guests
        assert set((await used(cloud)).values()) == set(free.values())
        limits = (await cloud.ask("GET", "/limits", 200))["limits"]["absolute"]
        assert (limits["totalInstancesUsed"], limits["totalRAMUsed"]) == (1, 512)
        await cloud.act(server, "shelveOffload", None, 409, token="admin")
        await cloud.act(server, "unshelve")
        shown = await cloud.until(server, "ACTIVE")
        back = await record(cloud, server)
        assert (cards(back), hosts_of(back)) == (cards(before), {back.host})
        assert shown["OS-EXT-AZ:availability_zone"] == "nova"
        assert shown["OS-SRV-USG:launched_at"] > before.launched_at.ToJsonString()[:-1]
        assert back.image_id == cloud.image
        assert server in cloud.drivers[back.host].hypervisor.guests
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        assert sum(count for count, _ in (await used(cloud)).values()) == 1


async def test_offloaded_at_once(tmp_path: Path) -> None:
    """The default, and Nova's."""
    async with fake_cloud(tmp_path) as cloud:
        for number, state in enumerate(("", "pause", "suspend", "os-stop")):
            server = await cloud.boot(f"vm{number}")
            if state:
                await cloud.act(server, state)
                await cloud.until(server, {"pause": "PAUSED", "suspend": "SUSPENDED"}.get(state, "SHUTOFF"))
            await cloud.act(server, "shelve")
            await cloud.until(server, "SHELVED_OFFLOADED")
            assert (await last_action(cloud, server))["action"] == "shelve"
            await cloud.act(server, "unshelve")
            await cloud.until(server, "ACTIVE")


async def test_offloaded_after_a_while(tmp_path: Path) -> None:
    options = replace(CONDUCTOR, shelved_offload_time=1, shelved_poll_interval=0.1)
    async with fake_cloud(tmp_path, conductor=options) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED")
        await cloud.until(server, "SHELVED_OFFLOADED")
        assert (await last_action(cloud, server))["action"] == "shelveOffload"


@pytest.mark.parametrize("options", [NEVER, CONDUCTOR])
async def test_deleted_with_its_image(tmp_path: Path, options: Any) -> None:
    async with fake_cloud(tmp_path, conductor=options) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED" if options is NEVER else "SHELVED_OFFLOADED")
        assert len(await images(cloud)) == 2
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        assert await used(cloud) == {"host1": (0, 0)}


async def test_where_it_comes_back(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, 3) as cloud:
        await zone(cloud, "zone2", "host2")
        await zone(cloud, "zone3", "host3")
        server = await cloud.boot(availability_zone="zone2")

        async def shelved() -> None:
            await cloud.act(server, "shelve")
            await cloud.until(server, "SHELVED_OFFLOADED")

        async def back(given: Any, host: str, pinned: str | None, **how: Any) -> None:
            await shelved()
            await cloud.act(server, "unshelve", given, **how)
            shown = await cloud.until(server, "ACTIVE")
            assert shown["OS-EXT-SRV-ATTR:host"] == host
            assert shown["pinned_availability_zone"] == pinned

        # The zone that it was created in stays its own.
        await back(None, "host2", "zone2")
        # Before 2.77 nothing could be asked for.
        await back({"availability_zone": "zone3"}, "host2", "zone2", version="2.76")
        await back({"availability_zone": "zone3"}, "host3", "zone3", version="2.77")
        await back({"availability_zone": "zone2", "host": "host2"}, "host2", "zone2", token="admin")
        await back({"availability_zone": None, "host": "host3"}, "host3", None, token="admin")
        await back({"host": "host1"}, "host1", None, token="admin")
        await back({"availability_zone": "zone2"}, "host2", "zone2")
        await shelved()
        for given, status, how in (
            ({"availability_zone": "nowhere"}, 400, {}),
            ({"availability_zone": ""}, 400, {"version": "2.77"}),
            ({"availability_zone": None}, 400, {"version": "2.77"}),
            ({}, 400, {"version": "2.77"}),
            ({}, 400, {"version": "2.91"}),
            ({"host": "host2"}, 400, {"version": "2.90", "token": "admin"}),
            ({"host": "host2"}, 403, {}),
            ({"host": "nobody"}, 400, {"token": "admin"}),
            ({"host": "host3"}, 409, {"token": "admin"}),
            ({"availability_zone": "zone2", "host": "host3"}, 409, {"token": "admin"}),
            ({"other": "x"}, 400, {}),
        ):
            await cloud.act(server, "unshelve", given, status, **how)
        await cloud.until(server, "SHELVED_OFFLOADED")


async def zone(cloud: FakeCloud, name: str, host: str) -> None:
    """Put a host into a zone of its own."""
    body = {"aggregate": {"name": name, "availability_zone": name}}
    made = await cloud.ask("POST", "/os-aggregates", 200, "admin", json=body)
    path = f"/os-aggregates/{made['aggregate']['id']}/action"
    await cloud.ask("POST", path, 200, "admin", json={"add_host": {"host": host}})


async def test_a_zone_for_one_that_has_its_host(tmp_path: Path) -> None:
    async with kept(tmp_path) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED")
        for given in ({"availability_zone": "nova"}, {"availability_zone": None}, {"host": "host1"}):
            refused = await cloud.act(server, "unshelve", given, 409, token="admin")
            message = refused["conflictingRequest"]["message"]
            assert "must be SHELVED_OFFLOADED" in message, message
        assert "shelved_image_id" in (await record(cloud, server)).system_metadata


async def test_no_room_to_come_back(tmp_path: Path) -> None:
    """It stays as it was, and can be asked for again."""
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(memory_mb=512))
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED_OFFLOADED")
        squatter = await cloud.boot("squatter")
        await cloud.act(server, "unshelve")
        await cloud.until(server, "SHELVED_OFFLOADED")
        assert (await last_action(cloud, server))["message"] == "Error"
        await cloud.ask("DELETE", f"/servers/{squatter}", 204)
        await cloud.until_gone(squatter)
        await cloud.act(server, "unshelve")
        await cloud.until(server, "ACTIVE")


async def test_a_host_that_can_not_build_it(tmp_path: Path) -> None:
    """Another one does; when none can, nothing is held."""
    async with fake_cloud(tmp_path, 2) as cloud:
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED_OFFLOADED")
        full = ResourceExhaustedError("disk", "The disk is full.")
        for name in ("host1", "host2"):
            cloud.drivers[name].hypervisor.fail("spawn", full)
        await cloud.act(server, "unshelve")
        await cloud.until(server, "SHELVED_OFFLOADED")
        assert set((await used(cloud)).values()) == {(0, 0)}
        assert hosts_of(await record(cloud, server)) == {""}
        cloud.drivers["host1"].hypervisor.fail("spawn", full)
        await cloud.act(server, "unshelve")
        shown = await cloud.until(server, "ACTIVE")
        assert shown["OS-EXT-SRV-ATTR:host"] == "host2"


async def test_an_image_that_is_gone(tmp_path: Path) -> None:
    """Nothing can bring it back: ERROR with the reason, as upstream."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot("web")
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED_OFFLOADED")
        (image,) = await images(cloud, "?name=web-shelved")
        await cloud.ask("DELETE", f"/images/{image['id']}", 204, version="2.35")
        await cloud.act(server, "unshelve")
        shown = await cloud.until(server, "ERROR")
        assert shown["fault"]["message"] == (
            f"Unshelve attempted but the image {image['id']} cannot be found."
        )
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)


async def test_a_shelving_that_fails(tmp_path: Path) -> None:
    """The guest is off by then, and says so; its image is gone."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        cloud.drivers["host1"].hypervisor.fail("take_snapshot", ResourceExhaustedError("disk", "Full."))
        await cloud.act(server, "shelve")
        shown = await cloud.until(server, "SHUTOFF")
        assert shown["OS-EXT-STS:power_state"] == 4
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        await cloud.act(server, "os-start")
        await cloud.until(server, "ACTIVE")
        # What may pass is tried again.
        for method in ("power_off", "take_snapshot", "destroy"):
            cloud.drivers["host1"].hypervisor.fail(method, DriverFailureError("fake", method, "Not now."))
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED_OFFLOADED")


async def test_a_delete_in_the_middle(tmp_path: Path) -> None:
    async with fake_cloud(tmp_path, hosts=0) as cloud:
        await cloud.add_host("host1", FakeOptions(delays={"read_snapshot": 30.0}))
        server = await cloud.boot()
        await cloud.act(server, "shelve")
        await under_way(cloud, server, "shelving_image_uploading")
        await cloud.ask("DELETE", f"/servers/{server}", 204)
        await cloud.until_gone(server)
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        assert await used(cloud) == {"host1": (0, 0)}


async def test_usage_goes_on(tmp_path: Path) -> None:
    """What is shelved is counted, as upstream counts it."""
    async with fake_cloud(tmp_path) as cloud:
        server = await cloud.boot()
        for action, status in (("shelve", "SHELVED_OFFLOADED"), ("unshelve", "ACTIVE")):
            await cloud.act(server, action)
            await cloud.until(server, status)
            answer = await cloud.ask("GET", "/os-simple-tenant-usage/demo", 200)
            (one,) = answer["tenant_usage"]["server_usages"]
            assert one["ended_at"] is None
            began = one["started_at"]
        launched = (await record(cloud, server)).launched_at.ToJsonString()
        assert began < launched


async def test_names_and_locks(tmp_path: Path) -> None:
    async with kept(tmp_path) as cloud:
        server = await cloud.boot("n" * 255)
        await cloud.act(server, "lock")
        await cloud.act(server, "shelve", None, 409)
        assert [one["name"] for one in await images(cloud)] == ["tiny"]
        await cloud.act(server, "unlock")
        await cloud.act(server, "shelve", None, 403, token="reader")
        await cloud.act(server, "shelve", None, 404, token="other")
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED")
        assert {one["name"] for one in await images(cloud)} == {"tiny", "n" * 247 + "-shelved"}


class BuiltFrom(FakeDriver):
    """A fake that remembers which images guests were built from."""

    def __init__(self) -> None:
        super().__init__(FakeOptions())
        self.images: list[str] = []

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        self.images.append(instance.image_id)
        await super().spawn(instance, boot)


@pytest.mark.parametrize("state", ["active", "error"])
async def test_evacuated_after_a_reset_with_what_shelving_kept(tmp_path: Path, state: str) -> None:
    async with kept(tmp_path) as cloud:
        server = await cloud.boot("web")
        await cloud.act(server, "shelve")
        await cloud.until(server, "SHELVED")
        (image,) = await images(cloud, "?name=web-shelved")
        await cloud.act(server, "os-resetState", {"state": state}, token="admin")
        other = cloud.drivers["host2"] = BuiltFrom()
        await cloud.revive("host2")
        await down(cloud, "host1")
        await cloud.act(server, "evacuate", {}, 200, token="admin", version="2.94")
        assert (await cloud.until(server, "ACTIVE"))["OS-EXT-SRV-ATTR:host"] == "host2"
        assert other.images == [image["id"]]
        back = await record(cloud, server)
        assert back.image_id == cloud.image
        assert not [key for key in back.system_metadata if "shelved" in key]
        async with asyncio.timeout(10):
            while len(await images(cloud)) > 1:
                await asyncio.sleep(0.02)

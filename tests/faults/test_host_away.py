"""A compute host that dies and comes back: what was asked of it meanwhile, and what it finds then."""

import asyncio
from collections.abc import Iterator

import pytest

from drivers.virt.fake.journal import Journal
from novamesh.types.v1.instance_pb2 import POWER_STATE_SHUTDOWN
from tests.faults.books import balanced, empty, look
from tests.faults.processes import Processes, Sections, processes
from tests.faults.rest import Rest, logged_in, until

pytestmark = pytest.mark.fault

COUNT = 6


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One cloud for the tests of this file, whose host counts as down soon."""
    hasty: Sections = {
        "conductor": {"service_down_time": 3.0},
        "fake": {"delays": {"power_off": 0.3, "reboot": 0.3}},
    }
    with processes(tmp_path_factory.mktemp("host"), hasty) as cloud:
        yield cloud


async def several(rest: Rest, cloud: Processes) -> list[str]:
    """Ids of servers that run."""
    assert (await rest.create("vm", min_count=COUNT, max_count=COUNT)).status == 202
    return sorted((await balanced(cloud)).active())


async def down(cloud: Processes) -> None:
    """Kill the host, and wait until it counts as down."""
    cloud.kill("compute")
    async with logged_in(cloud, "admin") as admin:

        async def seen() -> bool:
            listed = await admin.ask("GET", "/os-services?binary=nova-compute")
            return all(one["state"] == "down" for one in listed.body["services"])

        await until(seen, "the host counts as down")


async def back(cloud: Processes) -> None:
    await asyncio.to_thread(cloud.serve, "compute")


async def test_asked_for_while_the_host_is_down(cloud: Processes) -> None:
    """No host, by ComputeFilter, and nothing held; with the host back it works again."""
    async with logged_in(cloud) as rest:
        await down(cloud)

        async def refused() -> bool:
            answer = await rest.create("early")
            assert answer.status == 202
            server = await rest.settled(answer.body["server"]["id"])
            assert server["status"] == "ERROR"
            # The scheduler may learn of it a moment later; then it is the host that doesn't answer.
            return "ComputeFilter left 0 of 1" in server["fault"]["message"]

        await until(refused, "ComputeFilter refuses the host")
        assert look(cloud).claimed == (0, 0, 0, 0)
        await back(cloud)

        async def boots() -> bool:
            answer = await rest.create("again")
            server = await rest.settled(answer.body["server"]["id"])
            return bool(server["status"] == "ACTIVE")

        await until(boots, "the host takes servers again")
        await rest.delete_all()
        await empty(cloud)


async def test_deleted_while_the_host_is_down(cloud: Processes) -> None:
    """Gone at once for the user; the host ends the guests when it is back."""
    async with logged_in(cloud) as rest:
        await several(rest, cloud)
        await down(cloud)
        await rest.delete_all()
        books = look(cloud)
        assert not books.instances
        assert len(books.guests) == COUNT
        await back(cloud)
        await empty(cloud)


async def test_acted_on_while_the_host_is_down(cloud: Processes) -> None:
    """What can wait for the host waits, and is done when it is back."""
    async with logged_in(cloud) as rest:
        servers = await several(rest, cloud)
        await down(cloud)
        for server in servers:
            answer = await rest.ask("POST", f"/servers/{server}/action", json={"os-stop": None})
            assert answer.status == 202, answer
        for waiting in (await rest.servers()).values():
            assert waiting["OS-EXT-STS:task_state"] == "powering-off"
        await back(cloud)
        for server in servers:
            assert (await rest.settled(server))["status"] == "SHUTOFF"
        states = Journal.read(cloud.journal)
        assert {states[server] for server in servers} == {POWER_STATE_SHUTDOWN}
        await rest.delete_all()
        await empty(cloud)


@pytest.mark.parametrize("role", ["conductor", "compute"])
async def test_killed_in_the_middle_of_actions(cloud: Processes, role: str) -> None:
    """Records and guests agree in the end, whatever was done to which."""
    async with logged_in(cloud) as rest:
        servers = await several(rest, cloud)
        stopped, rebooted = servers[: COUNT // 2], servers[COUNT // 2 :]
        for server in stopped:
            answer = await rest.ask("POST", f"/servers/{server}/action", json={"os-stop": None})
            assert answer.status == 202, answer
        for server in rebooted:
            answer = await rest.ask("POST", f"/servers/{server}/action", json={"reboot": {"type": "HARD"}})
            assert answer.status == 202, answer
        cloud.kill(role)
        await asyncio.to_thread(cloud.serve, role)
        found = {server: (await rest.settled(server))["status"] for server in servers}
        assert found == dict.fromkeys(stopped, "SHUTOFF") | dict.fromkeys(rebooted, "ACTIVE")
        assert look(cloud).guests == set(rebooted)
        for server in stopped:
            answer = await rest.ask("POST", f"/servers/{server}/action", json={"os-start": None})
            assert answer.status == 202, answer
        for server in stopped:
            assert (await rest.settled(server))["status"] == "ACTIVE"
        await balanced(cloud)
        await rest.delete_all()
        await empty(cloud)

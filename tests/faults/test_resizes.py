"""Resizes on bad days: hosts and conductors that die at any step, and what is left of the server then."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from drivers.virt.fake.journal import Journal
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING
from tests.faults.books import balanced, empty, look
from tests.faults.processes import Sections
from tests.faults.rest import Rest, logged_in, until
from tests.faults.second_host import FIRST, NAME, TwoHosts, two_hosts

pytestmark = pytest.mark.fault

# Long enough for a kill to fall in between.
DELAY = 1.0
STEPS = ("migrate_disks", "finish_resize", "confirm_resize", "revert_resize", "finish_revert")
TASKS = {
    "migrate_disks": "resize_migrating",
    "finish_resize": "resize_finish",
    "confirm_resize": "resize_confirming",
    "revert_resize": "resize_reverting",
    "finish_revert": "resize_reverting",
}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoHosts]:
    """One cloud for the tests of this file, in which every resize leaves its host."""
    slow: Sections = {
        "conductor": {"allow_resize_to_same_host": False},
        "fake": {"delays": dict.fromkeys(STEPS, DELAY)},
    }
    with two_hosts(tmp_path_factory.mktemp("resizes"), slow) as cloud:
        yield cloud


@pytest.fixture
async def rest(cloud: TwoHosts) -> AsyncIterator[Rest]:
    """A user, whose servers are deleted in the end; nothing of them is left then, on either host."""
    async with logged_in(cloud) as rest:
        yield rest
        for host in (cloud, cloud.second):
            process = host.running.get("compute")
            if process is None or process.poll() is not None:
                await start(host)
        await rest.delete_all()
        await empty(cloud)
        await until(lambda: _nothing(cloud), "nothing is kept on either host")


async def _nothing(cloud: TwoHosts) -> bool:
    return not Journal.read(cloud.journal) and not Journal.read(cloud.second.journal)


async def start(host: Any) -> None:
    """Start a host, and wait until it is up."""
    await asyncio.to_thread(host.start if hasattr(host, "start") else lambda: host.serve("compute"))


async def seen(cloud: TwoHosts, host: str, state: str) -> None:
    """Wait until the cloud says so of a host."""
    async with logged_in(cloud, "admin") as admin:

        async def said() -> bool:
            listed = await admin.ask("GET", "/os-services?binary=nova-compute")
            states = {one["host"]: one["state"] for one in listed.body["services"]}
            return states.get(host) == state

        await until(said, f"{host} is {state}")


async def ready(cloud: TwoHosts, rest: Rest) -> str:
    """A server on the first host, with the second one up."""
    process = cloud.second.running.get("compute")
    if process is not None and process.poll() is None:
        # So that it starts on the first.
        cloud.second.kill("compute")
        await seen(cloud, NAME, "down")
    server_id = await rest.active("moving")
    await start(cloud.second)
    await seen(cloud, NAME, "up")
    return server_id


async def act(rest: Rest, server_id: str, action: str, given: object = None) -> None:
    """Ask for an action until somebody accepts it."""

    async def accepted() -> bool:
        answer = await rest.ask("POST", f"/servers/{server_id}/action", json={action: given})
        assert answer.status in (202, 204, 503), answer
        return answer.status != 503

    await until(accepted, f"{action} is accepted")


async def middle(rest: Rest, server_id: str, task: str) -> None:
    """Wait until a server has that task."""

    async def there() -> bool:
        answer = await rest.ask("GET", f"/servers/{server_id}")
        return answer.status == 200 and answer.body["server"]["OS-EXT-STS:task_state"] == task

    await until(there, f"{server_id} is {task}", pause=0.02)


async def resized(rest: Rest, server_id: str) -> None:
    """Resize it, and wait until it waits."""
    await act(rest, server_id, "resize", {"flavorRef": "2"})
    assert (await rest.settled(server_id))["status"] == "VERIFY_RESIZE"


async def test_the_destination_dies(cloud: TwoHosts, rest: Rest) -> None:
    """The server is what it was, with the reason; disk and claim are the source's."""
    server_id = await ready(cloud, rest)
    await act(rest, server_id, "resize", {"flavorRef": "2"})
    await middle(rest, server_id, "resize_finish")
    cloud.second.kill("compute")
    server = await rest.settled(server_id)
    assert server["status"] == "ACTIVE"
    assert server["flavor"]["original_name"] == "m1.tiny"
    books = await balanced(cloud)
    [instance] = books.instances
    assert instance.host == FIRST
    assert instance.fault.message.startswith("A part of the cloud did not answer")
    assert Journal.read(cloud.journal) == {server_id: POWER_STATE_RUNNING}


@pytest.mark.parametrize("victim", ["conductor", "source", "destination"])
@pytest.mark.parametrize("step", STEPS)
async def test_killed_in_the_middle_and_back(cloud: TwoHosts, rest: Rest, step: str, victim: str) -> None:
    """It goes on where it was. A resize whose host is away for too long is taken back instead, with a
    reason."""
    server_id = await ready(cloud, rest)
    forward = step in ("migrate_disks", "finish_resize")
    if forward:
        await act(rest, server_id, "resize", {"flavorRef": "2"})
    else:
        await resized(rest, server_id)
        await act(rest, server_id, "confirmResize" if step == "confirm_resize" else "revertResize")
    await middle(rest, server_id, TASKS[step])
    if step == "finish_revert":
        # The destination's part comes first.
        await asyncio.sleep(DELAY)
    if victim == "conductor":
        cloud.kill("conductor")
        await asyncio.to_thread(cloud.serve, "conductor")
    else:
        host = cloud if victim == "source" else cloud.second
        host.kill("compute")
        await start(host)
    server = await rest.settled(server_id)
    taken_back = forward and victim != "conductor" and server["status"] == "ACTIVE"
    if forward and not taken_back:
        assert server["status"] == "VERIFY_RESIZE"
        await act(rest, server_id, "confirmResize")
        server = await rest.settled(server_id)
    assert server["status"] == "ACTIVE"
    books = await balanced(cloud)
    [instance] = books.instances
    small = taken_back or step in ("revert_resize", "finish_revert")
    wanted = (FIRST, "m1.tiny") if small else (NAME, "m1.small")
    assert (instance.host, instance.flavor.name) == wanted
    assert instance.HasField("fault") is taken_back


async def test_confirmed_while_the_source_is_down(cloud: TwoHosts, rest: Rest) -> None:
    """Confirmed all the same; the source drops what it has kept when it is back."""
    server_id = await ready(cloud, rest)
    await resized(rest, server_id)
    cloud.kill("compute")
    await seen(cloud, FIRST, "down")
    await act(rest, server_id, "confirmResize")
    assert (await rest.settled(server_id))["status"] == "ACTIVE"
    await balanced(cloud)
    assert Journal.read(cloud.journal)
    await start(cloud)

    async def dropped() -> bool:
        return not Journal.read(cloud.journal)

    await until(dropped, "the old guest is dropped")


async def test_reverted_while_the_destination_is_down(cloud: TwoHosts, rest: Rest) -> None:
    """The guest runs at the source at once; the destination ends its own when it is back."""
    server_id = await ready(cloud, rest)
    await resized(rest, server_id)
    cloud.second.kill("compute")
    await seen(cloud, NAME, "down")
    await act(rest, server_id, "revertResize")
    server = await rest.settled(server_id)
    assert (server["status"], server["flavor"]["original_name"]) == ("ACTIVE", "m1.tiny")
    assert Journal.read(cloud.journal) == {server_id: POWER_STATE_RUNNING}
    assert Journal.read(cloud.second.journal) == {server_id: POWER_STATE_RUNNING}
    await start(cloud.second)

    async def ended() -> bool:
        return not Journal.read(cloud.second.journal)

    await until(ended, "the guest in its new size is ended")
    await balanced(cloud)


async def test_deleted_while_it_waits_and_its_source_is_down(cloud: TwoHosts, rest: Rest) -> None:
    """Gone for the user, and gone from the source when that is back."""
    server_id = await ready(cloud, rest)
    await resized(rest, server_id)
    cloud.kill("compute")
    await seen(cloud, FIRST, "down")
    await rest.delete_all()
    assert look(cloud).claimed == (0, 0, 0, 0)
    assert look(cloud).quota == (0, 0, 0)


async def test_two_at_once(cloud: TwoHosts, rest: Rest) -> None:
    """One of a confirm and a revert is accepted; the other gets a 409 with the state."""
    server_id = await ready(cloud, rest)
    await resized(rest, server_id)
    answers = await asyncio.gather(
        *(
            rest.ask("POST", f"/servers/{server_id}/action", json={action: None})
            for action in ("confirmResize", "revertResize")
        )
    )
    assert sorted(answer.status for answer in answers) in ([202, 409], [204, 409])
    await rest.settled(server_id)
    await balanced(cloud)

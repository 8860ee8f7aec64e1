"""Images of servers on bad days: uploads that break, and roles that are killed in the middle. No image is
left without data, no guest is touched, nothing leaks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.faults.books import balanced, empty
from tests.faults.processes import OTHERS, Processes, processes
from tests.faults.rest import PATIENCE, Answer, Rest, logged_in, until
from tests.faults.test_kill import restart

pytestmark = pytest.mark.fault

# Long enough for a kill to fall in between.
DELAYS = {"fake": {"delays": {"take_snapshot": 0.5, "read_snapshot": 0.3, "spawn": 0.8}}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One cloud for the tests of this file."""
    with processes(tmp_path_factory.mktemp("snapshots"), DELAYS) as cloud:
        yield cloud


@pytest.fixture
async def demo(cloud: Processes) -> AsyncIterator[Rest]:
    """A user whose servers and images are gone in the end, and who had nothing before."""
    async with logged_in(cloud) as rest:
        yield rest
        await rest.delete_all()
        await empty(cloud)
        for image in await own_images(rest):
            assert (await rest.ask("DELETE", f"{rest.images}/images/{image['id']}")).status == 204


async def patient(rest: Rest, method: str, url: str, **options: Any) -> Answer:
    """An answer other than that somebody is away."""
    found: list[Answer] = []

    async def answered() -> bool:
        try:
            answer = await rest.ask(method, url, **options)
        except aiohttp.ClientError:
            # The gateway itself was killed.
            return False
        found.append(answer)
        return answer.status != 503

    await until(answered, f"{method} {url} is answered")
    return found[-1]


async def act(rest: Rest, server: str, body: dict[str, Any]) -> Answer:
    """An action that is accepted."""
    answer = await patient(rest, "POST", f"/servers/{server}/action", json=body)
    assert answer.status == 202, answer
    return answer


async def own_images(rest: Rest) -> list[dict[str, Any]]:
    """The project's own."""
    answer = await patient(rest, "GET", f"{rest.images}/images", params={"owner": rest.project_id})
    listed: list[dict[str, Any]] = answer.body["images"]
    return listed


async def shown(rest: Rest, server: str) -> dict[str, Any]:
    """The server as it is now."""
    answer = await patient(rest, "GET", f"/servers/{server}")
    assert answer.status == 200, answer
    found: dict[str, Any] = answer.body["server"]
    return found


async def in_task(rest: Rest, server: str, *tasks: str) -> None:
    """Wait until the server shows one of these tasks."""

    async def there() -> bool:
        return (await shown(rest, server))["OS-EXT-STS:task_state"] in tasks

    await until(there, f"the task is one of {tasks}", pause=0.02)


async def idle(rest: Rest, server: str) -> None:
    """Wait until nothing is done to the server."""

    async def there() -> bool:
        return (await shown(rest, server))["OS-EXT-STS:task_state"] is None

    await until(there, "the server has no task")


async def in_status(rest: Rest, server: str, status: str) -> None:
    """Wait until the server has a status and no task."""

    async def there() -> bool:
        found = await shown(rest, server)
        return found["status"] == status and found["OS-EXT-STS:task_state"] is None

    await until(there, f"the server is {status}", PATIENCE)


async def last_action(rest: Rest, server: str) -> dict[str, Any]:
    """The newest of what was done to a server."""
    answer = await patient(rest, "GET", f"/servers/{server}/os-instance-actions")
    action: dict[str, Any] = answer.body["instanceActions"][0]
    return action


@pytest.mark.parametrize("moment", ["image_snapshot", "image_uploading"])
@pytest.mark.parametrize("role", ["compute", "others", "conductor"])
async def test_killed_in_the_middle_of_a_snapshot(
    cloud: Processes, demo: Rest, role: str, moment: str
) -> None:
    """It is taken, or taken again, by whoever is there: what was accepted is done."""
    server = await demo.active("vm")
    before = await shown(demo, server)
    image_id = (await act(demo, server, {"createImage": {"name": "x"}})).body["image_id"]
    await in_task(demo, server, moment)
    cloud.kill(role)
    await restart(cloud, role)
    await in_status(demo, server, "ACTIVE")
    (image,) = await own_images(demo)
    assert (image["id"], image["status"], image["size"]) == (image_id, "active", 262144)
    assert (await last_action(demo, server))["message"] is None
    after = await shown(demo, server)
    assert after["OS-SRV-USG:launched_at"] == before["OS-SRV-USG:launched_at"]
    await balanced(cloud)


async def test_killed_for_good(cloud: Processes, demo: Rest) -> None:
    """A host that doesn't come back: the server can be deleted, and its image goes, too."""
    server = await demo.active("vm")
    await act(demo, server, {"createImage": {"name": "x"}})
    await in_task(demo, server, "image_uploading")
    cloud.kill("compute")
    try:

        async def gone() -> bool:
            answer = await patient(demo, "DELETE", f"/servers/{server}")
            return answer.status == 404

        await until(gone, "the server is gone")
        assert await own_images(demo) == []
    finally:
        await restart(cloud, "compute")


@pytest.mark.parametrize("role", ["compute", "others", "conductor"])
async def test_killed_while_it_is_shelved_and_comes_back(cloud: Processes, demo: Rest, role: str) -> None:
    server = await demo.active("vm")
    addresses = (await shown(demo, server))["addresses"]
    for action, task, status in (
        ("shelve", ("shelving", "shelving_image_uploading"), "SHELVED_OFFLOADED"),
        ("unshelve", ("spawning",), "ACTIVE"),
    ):
        await act(demo, server, {action: None})
        await in_task(demo, server, *task)
        cloud.kill(role)
        await restart(cloud, role)
        await idle(demo, server)
        if role != "conductor" and (await shown(demo, server))["status"] != status:
            # There is no other host, and what this one consists of was away for too long: as before, and
            # asked again.
            assert action == "unshelve"
            assert (await last_action(demo, server))["message"] == "Error"
            await act(demo, server, {action: None})
        await in_status(demo, server, status)
        assert (await shown(demo, server))["addresses"] == addresses
    assert await own_images(demo) == []
    await balanced(cloud)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Processes]:
    """A cloud whose image service takes what it has, and then no more than a part of a snapshot."""
    with processes(tmp_path / "cloud", DELAYS) as cloud:
        cloud.configure({"image": {"image_size_cap": 100_000}})
        cloud.kill("others")
        cloud.serve("others", *OTHERS)
        yield cloud


async def test_an_upload_that_breaks(small: Processes) -> None:
    async with logged_in(small) as demo:
        server = await demo.active("vm")
        before = await shown(demo, server)
        await act(demo, server, {"createImage": {"name": "x"}})
        await in_status(demo, server, "ACTIVE")
        assert await own_images(demo) == []
        action = await last_action(demo, server)
        assert (action["action"], action["message"]) == ("createImage", "Error")
        after = await shown(demo, server)
        assert after["OS-SRV-USG:launched_at"] == before["OS-SRV-USG:launched_at"]
        await balanced(small)
        # A shelving that breaks leaves a server that is off and can be started.
        await act(demo, server, {"shelve": None})
        await in_status(demo, server, "SHUTOFF")
        assert await own_images(demo) == []
        await act(demo, server, {"os-start": None})
        await in_status(demo, server, "ACTIVE")
        await balanced(small)
        await demo.delete_all()
        await empty(small)


async def test_many_at_once(cloud: Processes, demo: Rest) -> None:
    """Of two requests for one server at once one is told that the other is under way."""
    servers = [await demo.active(f"vm{number}") for number in range(4)]
    bodies: list[dict[str, Any]] = [
        {"createImage": {"name": "x"}},
        {"createBackup": {"name": "y", "backup_type": "daily", "rotation": 1}},
        {"createImage": {"name": "z"}},
    ]
    asked = [
        demo.ask("POST", f"/servers/{server}/action", json=body) for server in servers for body in bodies
    ]
    answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers) == [202] * 4 + [409] * 8
    for answer in answers:
        if answer.status == 409:
            assert "task_state" in answer.message
    for server in servers:
        await in_status(demo, server, "ACTIVE")
    assert [image["status"] for image in await own_images(demo)] == ["active"] * 4
    await balanced(cloud)

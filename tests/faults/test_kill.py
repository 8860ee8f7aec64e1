"""Roles that are killed in the middle of their work, and started again: nothing is lost, nothing leaks."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from tests.faults.books import Books, balanced, empty, look
from tests.faults.processes import Processes, processes
from tests.faults.rest import Rest, logged_in, until
from tests.unit.conductor.conftest import drop, make_url

pytestmark = pytest.mark.fault

BOOTS = 20
# Long enough for a kill to fall in between.
DELAYS = {"fake": {"delays": {"spawn": 0.4, "destroy": 0.2}}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """One cloud for the tests of this file that leave it as it was."""
    with processes(tmp_path_factory.mktemp("kill"), DELAYS) as cloud:
        yield cloud


@dataclass
class Wave:
    """Servers that are asked for at once, each again until somebody has accepted it."""

    rest: Rest
    accepted: list[str] = field(default_factory=list)

    async def _one(self, name: str) -> None:
        async def taken() -> bool:
            try:
                answer = await self.rest.create(name)
            except aiohttp.ClientError:
                # The gateway itself was killed.
                return False
            if answer.status == 202:
                self.accepted.append(answer.body["server"]["id"])
                return True
            # Whoever is away is named; anything else is a fault of its own.
            assert answer.status == 503, answer
            assert "does not answer" in answer.message
            assert "127.0.0.1" not in answer.message
            return False

        await until(taken, f"somebody accepts {name}")

    async def boot(self, count: int = BOOTS) -> None:
        """Ask for so many servers at once."""
        await self.rest.image("tiny")
        await asyncio.gather(*(self._one(f"vm-{number}") for number in range(count)))

    def check(self, books: Books) -> None:
        """What was accepted is there, and runs or says why not."""
        known = {one.id for one in books.instances}
        assert set(self.accepted) <= known
        assert books.active() | {one.id for one in books.errors()} == known


async def some_guests(cloud: Processes, at_least: int = 1) -> None:
    """Wait until the middle of a wave of boots."""

    async def there() -> bool:
        return len(look(cloud).guests) >= at_least

    await until(there, f"{at_least} guests run", pause=0.02)


async def some_gone(cloud: Processes, at_most: int) -> None:
    """Wait until the middle of a wave of deletes."""

    async def there() -> bool:
        return len(look(cloud).guests) <= at_most

    await until(there, f"only {at_most} guests are left", pause=0.02)


async def restart(cloud: Processes, name: str) -> None:
    """Start a killed process again without keeping the requests under way from going on."""
    roles = [] if name != "others" else ["cert", "identity", "image", "metadata", "network", "gateway"]
    await asyncio.to_thread(cloud.serve, name, *roles)


async def ended(rest: Rest, cloud: Processes) -> None:
    """Delete all; the books are empty, and a server can be booted and deleted as before."""
    await rest.delete_all()
    await empty(cloud)


@pytest.mark.parametrize("role", ["conductor", "scheduler", "compute", "others"])
async def test_killed_while_servers_boot(cloud: Processes, role: str) -> None:
    async with logged_in(cloud) as rest:
        wave = Wave(rest)
        boots = asyncio.create_task(wave.boot())
        await some_guests(cloud)
        cloud.kill(role)
        await restart(cloud, role)
        await boots
        books = await balanced(cloud)
        wave.check(books)
        if role in ("conductor", "scheduler"):
            # Only what a host consists of may make a boot on it fail; their work is done again.
            assert not books.errors(), [one.fault.message for one in books.errors()]
        await ended(rest, cloud)


@pytest.mark.parametrize("role", ["conductor", "compute", "others"])
async def test_killed_while_servers_are_deleted(cloud: Processes, role: str) -> None:
    async with logged_in(cloud) as rest:
        wave = Wave(rest)
        await wave.boot()
        await balanced(cloud)
        await asyncio.gather(*(rest.ask("DELETE", f"/servers/{one}") for one in wave.accepted))
        await some_gone(cloud, BOOTS - 1)
        cloud.kill(role)
        await restart(cloud, role)
        await empty(cloud)


async def test_accepted_while_everything_else_is_away(cloud: Processes) -> None:
    """The conductor alone is enough to accept; the work is done when the others are back."""
    async with logged_in(cloud) as rest:
        cloud.kill("scheduler")
        wave = Wave(rest)
        await wave.boot(5)
        assert len(wave.accepted) == 5
        cloud.kill("compute")
        await restart(cloud, "scheduler")
        await restart(cloud, "compute")
        books = await balanced(cloud)
        wave.check(books)
        await ended(rest, cloud)


@pytest.mark.parametrize("seed", [1, 2])
async def test_killed_at_random_moments(cloud: Processes, seed: int) -> None:
    chance = random.Random(seed)
    async with logged_in(cloud) as rest:
        wave = Wave(rest)
        boots = asyncio.create_task(wave.boot())
        for _ in range(4):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            for role in chance.sample(["conductor", "scheduler", "compute"], chance.choice([1, 2])):
                cloud.kill(role)
                await asyncio.sleep(chance.uniform(0.0, 0.2))
            for role in [name for name, process in cloud.running.items() if process.poll() is not None]:
                await restart(cloud, role)
            for server in wave.accepted[:: chance.randrange(3, 6)]:
                # Deleting what is half built, or built, or deleted, or being deleted.
                await rest.ask("DELETE", f"/servers/{server}")
        await boots
        await balanced(cloud)
        await ended(rest, cloud)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.database)])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Processes]:
    """A cloud with two conductors on one database."""
    url = make_url(request.param, tmp_path)
    try:
        with processes(tmp_path / "cloud", DELAYS, {"database": {"connection": url}}, conductors=2) as cloud:
            yield cloud
    finally:
        drop(url)


async def test_another_conductor_takes_over(pair: Processes) -> None:
    """Of two conductors one is killed and stays away; what it held is taken over when its leases run out."""
    async with logged_in(pair) as rest:
        wave = Wave(rest)
        boots = asyncio.create_task(wave.boot())
        await some_guests(pair)
        pair.kill("conductor")
        await boots
        books = await balanced(pair)
        wave.check(books)
        assert not books.errors(), [one.fault.message for one in books.errors()]
        await restart(pair, "conductor")
        await asyncio.gather(*(rest.ask("DELETE", f"/servers/{one}") for one in wave.accepted))
        await some_gone(pair, BOOTS - 1)
        pair.kill("conductor2")
        await empty(pair)

"""A database that is locked, away, or breaks connections: calls wait, nothing is lost or done twice."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.faults.books import balanced, empty, look
from tests.faults.processes import HASTE, Processes, Sections, fake_cloud
from tests.faults.relay import Relay, relay
from tests.faults.rest import Rest, logged_in, until
from tests.unit.conductor.conftest import drop, make_url

pytestmark = pytest.mark.fault

# What the issue promises to get over, in seconds.
AWAY = 10.0
# Leases run out meanwhile, and boots are under way when it begins. That no heartbeat is written for so long
# must not make a host count as down, which it does after a minute.
SLOW: Sections = {"fake": {"delays": {"spawn": 0.5}}, "conductor": {"service_down_time": 60.0}}


@contextlib.contextmanager
def locked(cloud: Processes) -> Iterator[None]:
    """Hold SQLite's one lock for writing, as a backup or somebody's shell does."""
    path = cloud.settings.database.connection.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


async def some_boots(rest: Rest, count: int = 5) -> "list[asyncio.Task[int]]":
    """Creates under way; each answers a status."""
    await rest.image("tiny")

    async def one(number: int) -> int:
        return (await rest.create(f"vm-{number}")).status

    return [asyncio.create_task(one(number)) for number in range(count)]


async def test_sqlite_is_locked_for_ten_seconds(tmp_path: Path) -> None:
    with fake_cloud(tmp_path / "cloud", HASTE, SLOW) as cloud:
        async with logged_in(cloud) as rest:
            before = await some_boots(rest)
            assert await asyncio.gather(*before) == [202] * 5
            with locked(cloud):
                during = await some_boots(rest)
                listed = asyncio.create_task(rest.servers())
                await asyncio.sleep(AWAY)
                # Who only reads doesn't notice.
                assert listed.done()
                assert len(await listed) == 5
                assert not any(one.done() for one in during)
            assert await asyncio.gather(*during) == [202] * 5
            books = await balanced(cloud)
            assert len(books.active()) == 10
            await rest.delete_all()
            await empty(cloud)
        assert cloud.stop("up") == 0


async def test_sqlite_is_locked_longer_than_anybody_waits(tmp_path: Path) -> None:
    """A clear answer, and nothing of what was refused; what was accepted before goes on afterwards."""
    with fake_cloud(tmp_path / "cloud", HASTE, SLOW, {"database": {"patience": 1.0}}) as cloud:
        async with logged_in(cloud) as rest:
            accepted = await rest.create("before")
            with locked(cloud):
                answer = await rest.create("during")
                assert answer.status == 503, answer
                assert "(database does not answer)" in answer.message
                deleted = await rest.ask("DELETE", f"/servers/{accepted.body['server']['id']}")
                assert deleted.status == 503, deleted
                # Long enough for leases to run out and for whoever works to give up for now.
                await asyncio.sleep(3)
            books = await balanced(cloud)
            assert books.active() == {accepted.body["server"]["id"]}
            await rest.delete_all()
            await empty(cloud)


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[tuple[Processes, Relay]]:
    """A cloud whose database is behind a relay."""
    url = make_url("postgresql", tmp_path)
    parsed = sa.make_url(url)
    try:
        with relay(parsed.host or "127.0.0.1", parsed.port or 5432) as way:
            through = parsed.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
            with fake_cloud(tmp_path / "cloud", HASTE, SLOW, {"database": {"connection": through}}) as cloud:
                yield cloud, way
    finally:
        drop(url)


@pytest.mark.database
async def test_postgresql_is_away_for_ten_seconds(postgresql: tuple[Processes, Relay]) -> None:
    cloud, way = postgresql
    async with logged_in(cloud) as rest:
        assert await asyncio.gather(*await some_boots(rest)) == [202] * 5
        way.stop()
        during = await some_boots(rest)
        listed = asyncio.create_task(rest.servers())
        await asyncio.sleep(AWAY)
        assert not any(one.done() for one in during)
        way.start()
        assert await asyncio.gather(*during) == [202] * 5
        assert len(await listed) >= 5
        books = await balanced(cloud)
        assert len(books.active()) == 10
        await rest.delete_all()
        await empty(cloud)


@pytest.mark.database
async def test_connections_to_postgresql_break_again_and_again(postgresql: tuple[Processes, Relay]) -> None:
    """Also between a commit and its answer: what is done again is not done twice."""
    cloud, way = postgresql
    chance = random.Random(7)
    async with logged_in(cloud) as rest:
        boots = await some_boots(rest, 20)
        for _ in range(20):
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            way.cut()
        assert await asyncio.gather(*boots) == [202] * 20
        books = await balanced(cloud)
        assert len(books.active()) == 20
        deletes = [
            asyncio.create_task(rest.ask("DELETE", f"/servers/{one.id}")) for one in look(cloud).instances
        ]
        for _ in range(10):
            await asyncio.sleep(chance.uniform(0.02, 0.1))
            way.cut()
        assert {answer.status for answer in await asyncio.gather(*deletes)} <= {204, 404}

        async def gone() -> bool:
            return not await rest.servers()

        await until(gone, "all are deleted")
        await empty(cloud)

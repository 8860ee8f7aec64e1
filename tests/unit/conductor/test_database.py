"""Units of work: grouped, rolled back alone, patient with locks."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection, insert, select

from db import keypairs, migrate, pooled
from db.connect import connect
from db.database import Database, DatabaseOptions
from db.schema.base import now
from db.schema.compute import keypairs as table
from novamesh.conductor.v1.keypair_service_pb2 import Keypair
from novamesh.failures import AlreadyExistsError, UnavailableError
from tests.unit.conductor.conftest import drop, make_url
from tests.unit.conductor.fakes import database_at


def _add(name: str) -> Callable[[Connection], Keypair]:
    return lambda c: keypairs.add(c, Keypair(user_id="u", name=name, public_key="k"), now())


def _names(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute(select(table.c.name).order_by(table.c.name))]


async def test_units_that_come_together_fail_alone(url: str) -> None:
    async with database_at(url) as database:
        results = await asyncio.gather(
            *(database.write(_add(name)) for name in ("a", "b", "a", "c")), return_exceptions=True
        )
        assert sorted(r.name for r in results if isinstance(r, Keypair)) == ["a", "b", "c"]
        assert [type(r) for r in results if isinstance(r, Exception)] == [AlreadyExistsError]
        assert await database.read(_names) == ["a", "b", "c"]


async def test_an_exception_rolls_back_what_came_before_it(url: str) -> None:
    def work(connection: Connection) -> None:
        keypairs.add(connection, Keypair(user_id="u", name="x", public_key="k"), now())
        raise ZeroDivisionError

    async with database_at(url) as database:
        with pytest.raises(ZeroDivisionError):
            await database.write(work)
        assert await database.read(_names) == []


async def test_a_writer_that_goes_away_takes_nobody_along(sqlite: str) -> None:
    async with database_at(sqlite) as database:
        gone = asyncio.create_task(database.write(_add("gone")))
        await asyncio.sleep(0)
        gone.cancel()
        await database.write(_add("stays"))
        assert "stays" in await database.read(_names)


async def test_a_lock_held_by_another_process_is_waited_for_without_stopping_the_loop(sqlite: str) -> None:
    async with database_at(sqlite) as database:
        other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(database.write(_add("late")))
        turns = 0
        for _ in range(20):
            await asyncio.sleep(0.005)
            turns += 1
            assert await database.read(_names) == []
        assert turns == 20
        assert not writing.done()
        other.execute("ROLLBACK")
        other.close()
        await writing
        assert await database.read(_names) == ["late"]


async def test_patience_ends_with_a_failure_that_names_the_database(sqlite: str) -> None:
    async with database_at(sqlite, DatabaseOptions(patience=0.1)) as database:
        other = sqlite3.connect(sqlite.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnavailableError, match="locked by another process"):
            await database.write(_add("never"))
        other.execute("ROLLBACK")
        other.close()
        await database.write(_add("again"))
        assert await database.read(_names) == ["again"]


class _Proxy:
    """A way to a database server that can be cut."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self.server is not None
        self.server.close()
        for writer in self._writers:
            writer.close()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there_writer}
        for source, target in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.create_task(self._pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        except OSError:
            pass
        target.close()


@pytest.mark.database
@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
async def test_a_server_that_goes_away_is_waited_for(kind: str, tmp_path: Path) -> None:
    whole = make_url(kind, tmp_path)
    migrate.upgrade(whole)
    parsed = sa.make_url(whole)
    proxy = _Proxy(parsed.host or "127.0.0.1", parsed.port or 0)
    await proxy.open()
    through = parsed.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    database: Database = connect(through, DatabaseOptions(patience=20))
    impatient: Database = connect(through, DatabaseOptions(patience=0.5))
    try:
        await database.write(_add("before"))
        await proxy.cut()
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="does not answer"):
            await impatient.read(_names)
        waiting = asyncio.gather(database.write(_add("during")), database.read(_names))
        await asyncio.sleep(1)
        assert not waiting.done()
        await proxy.open()
        await waiting
        assert time.monotonic() - began > 1
        assert await database.read(_names) == ["before", "during"]
    finally:
        await database.close()
        await impatient.close()
        await proxy.cut()
        drop(whole)


def test_urls_that_make_no_sense_say_what_would() -> None:
    for wrong in ("nonsense", "sqlite://", "oracle://x/y", "postgresql://x/y"):
        with pytest.raises(ValueError, match=r"sqlite:///path"):
            connect(wrong)


async def test_rows_keep_their_case_apart(url: str) -> None:
    async with database_at(url) as database:
        await database.write(_add("Key"))
        await database.write(_add("key"))
        assert sorted(await database.read(_names)) == ["Key", "key"]


async def test_times_keep_their_microseconds(url: str) -> None:
    at = now().replace(microsecond=123456)
    row = {"user_id": "u", "name": "n", "type": "ssh", "public_key": "k", "fingerprint": "", "created_at": at}
    async with database_at(url) as database:
        await database.write(lambda c: c.execute(insert(table), row))
        assert await database.read(lambda c: c.execute(select(table.c.created_at)).scalar_one()) == at


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("postgresql", marks=pytest.mark.database),
        pytest.param("mysql", marks=pytest.mark.database),
    ],
)
async def test_a_conductor_that_is_cut_off_in_a_transaction_stops_nobody_for_long(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server rolls back what it left, and takes its locks away."""
    monkeypatch.setattr(pooled, "IDLE_TIMEOUT", 1)
    url = make_url(kind, tmp_path)
    try:
        async with database_at(url) as database:
            await database.write(_add("a"))
            stuck = pooled.engine(sa.make_url(url), "READ COMMITTED", 1)
            with pytest.raises(sa.exc.DBAPIError), stuck.connect() as connection:
                connection.execute(sa.update(table).values(type="x"))
                await database.write(lambda c: c.execute(sa.update(table).values(type="y")))
                connection.commit()
            stuck.dispose()
    finally:
        drop(url)

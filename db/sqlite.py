"""SQLite: reads and statements on the event loop, commits on a thread.

A thread hop costs ten times what a row by key does, and a thread that runs statements fights the loop for the
interpreter at each of them. So everything runs inline, except what waits for the disk: the commit. While
one commit is on its way, the next units gather; they share one transaction, each in a savepoint of its own.
One fsync then serves as many writers as came during the one before.
"""

import asyncio
import contextlib
import contextvars
import os
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

import jsonschema_rs
import structlog
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from db.database import Database, DatabaseOptions
from db.faults import locked
from novamesh.failures import UnavailableError

T = TypeVar("T")
log = structlog.get_logger("novamesh.db")

# How long one group may gather, in seconds of statements on the loop, before it is committed.
GROUP_SECONDS = 0.02
GROUP_UNITS = 500
# Pauses between tries at a lock that another process holds.
FIRST_PAUSE = 0.002
LONGEST_PAUSE = 0.1
# Seconds in which others may make a new file.
FIRST_WAIT = 5
# Bytes that a compiled pattern and its cache may take: repetitions of repetitions are refused.
_LINEAR = jsonschema_rs.RegexOptions(size_limit=1 << 18, dfa_size_limit=1 << 20)


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> jsonschema_rs.Draft7Validator:
    return jsonschema_rs.Draft7Validator({"pattern": pattern}, pattern_options=_LINEAR)


def _matches(pattern: str, value: object) -> bool:
    """Whether the pattern is found in the value. Raises ValueError for what is no pattern.

    Statements run on the event loop and patterns come from users: Python's own engine backtracks, so that
    `(a+)+$` and one long name stop the whole process. This one's time is linear in the value's length.
    It has no look-around and no back references.
    """
    return value is not None and _compiled(pattern).is_valid(str(value))


def engine(url: URL | str, begin: str, options: DatabaseOptions, wait: float = 0) -> Engine:
    """An engine with one connection whose transactions start with `begin` (nothing: they are its user's
    affair), and wait so many seconds for a lock."""
    _make_private(make_url(url).database)
    made = create_engine(
        url,
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "isolation_level": None, "timeout": 0},
        # Errors end in logs, and values are password hashes and user data.
        hide_parameters=True,
    )

    @event.listens_for(made, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout = {FIRST_WAIT * 1000}")
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous = {options.synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        connection.create_function("regexp", 2, _matches, deterministic=True)

    if begin:

        @event.listens_for(made, "begin")
        def begin_transaction(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

    return made


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put the file into WAL, which whoever comes first does; the others wait."""
    deadline = time.monotonic() + FIRST_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # Two who both read the new file already, and want to change it, are told so without a wait.
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _make_private(path: str | None) -> None:
    """Have a new file, and the journals beside it, readable by its owner alone: it holds password hashes and
    user data. A file that is there keeps its mode, and one that can't be made is the connection's failure."""
    if path and path != ":memory:":
        with contextlib.suppress(OSError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


class _Unit:
    __slots__ = ("context", "error", "future", "result", "until", "work")

    def __init__(self, work: Callable[[Connection], Any], until: float) -> None:
        self.work = work
        self.until = until
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # A group runs for many: what one does and logs is still its own request's.
        self.context = contextvars.copy_context()
        self.result: Any = None
        self.error: Exception | None = None

    def settle(self) -> None:
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)

    def refuse(self, error: Exception) -> None:
        self.error = error
        self.settle()


class SqliteDatabase(Database):
    """A database in one file."""

    def __init__(self, url: URL, options: DatabaseOptions) -> None:
        self.dialect = "sqlite"
        self._options = options
        self._path = str(url.database)
        self._read_engine = engine(url, "", options)
        self._write_engine = engine(url, "BEGIN IMMEDIATE", options)
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self._waiting: deque[_Unit] = deque()
        self._draining: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="db-commit")
        self._closed = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        until = time.monotonic() + self._options.patience
        pause = FIRST_PAUSE
        while True:
            if self._closed:
                raise UnavailableError("database", "The database is closed.")
            try:
                if self._reader is None:
                    self._reader = self._read_engine.connect()
                # By the driver itself: SQLAlchemy's way to both is longer than the way to a row.
                raw = self._reader.connection.driver_connection
                assert raw is not None
                raw.execute("BEGIN")
                try:
                    return work(self._reader)
                finally:
                    raw.rollback()
            except DBAPIError as error:
                if not locked(error):
                    raise
                if time.monotonic() >= until:
                    raise self._unavailable() from error
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def write(self, work: Callable[[Connection], T]) -> T:
        if self._closed:
            raise UnavailableError("database", "The database is closed.")
        unit = _Unit(work, time.monotonic() + self._options.patience)
        self._waiting.append(unit)
        if self._draining is None or self._draining.done():
            loop = asyncio.get_running_loop()
            self._draining = loop.create_task(self._drain(), context=contextvars.Context())
        result: T = await unit.future
        return result

    async def close(self) -> None:
        self._closed = True
        if self._draining is not None:
            await self._draining
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None
        self._read_engine.dispose()
        self._write_engine.dispose()
        self._thread.shutdown()

    def _unavailable(self) -> UnavailableError:
        return UnavailableError("database", f"The database {self._path} is locked by another process.", 1.0)

    async def _drain(self) -> None:
        while self._waiting:
            # Units of callers that are ready to run now join this group.
            await asyncio.sleep(0)
            group: list[_Unit] = []
            try:
                writer = await self._begin()
                if writer is None:
                    continue
                await self._run_group(writer, group)
                await asyncio.get_running_loop().run_in_executor(self._thread, writer.commit)
            except Exception as error:
                # Nothing of the group was kept. A commit fails for a full disk or a broken file.
                if self._writer is not None:
                    self._writer.rollback()
                if not group:
                    raise
                log.error("commit failed", units=len(group), error=str(error))
                for unit in group:
                    unit.refuse(UnavailableError("database", f"The database could not be written: {error}"))
                continue
            for unit in group:
                unit.settle()

    async def _begin(self) -> Connection | None:
        """Take the write lock; None when all who wanted it have run out of patience."""
        pause = FIRST_PAUSE
        while self._waiting:
            try:
                if self._writer is None:
                    self._writer = self._write_engine.connect()
                self._writer.begin()
                return self._writer
            except Exception as error:
                if self._writer is not None:
                    self._writer.rollback()
                if not locked(error):
                    unit = self._waiting.popleft()
                    unit.refuse(UnavailableError("database", f"The database could not be opened: {error}"))
                    continue
            self._drop_late()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
        return None

    def _drop_late(self) -> None:
        now = time.monotonic()
        for unit in list(self._waiting):
            if unit.until <= now or unit.future.done():
                self._waiting.remove(unit)
                unit.refuse(self._unavailable())

    async def _run_group(self, writer: Connection, group: list[_Unit]) -> None:
        raw = writer.connection.driver_connection
        assert raw is not None
        started = time.monotonic()
        while self._waiting and len(group) < GROUP_UNITS and time.monotonic() - started < GROUP_SECONDS:
            unit = self._waiting.popleft()
            if unit.future.done():
                continue  # its caller has gone
            group.append(unit)
            raw.execute("SAVEPOINT unit")
            try:
                unit.result = unit.context.run(unit.work, writer)
            except Exception as error:
                unit.error = error
                raw.execute("ROLLBACK TO unit")
            raw.execute("RELEASE unit")

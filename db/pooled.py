"""PostgreSQL and MariaDB: units of work on a bounded pool of threads, each with its connection."""

import asyncio
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection, Engine, create_engine

from db.database import Database, DatabaseOptions
from db.faults import passes
from novamesh.failures import UnavailableError

T = TypeVar("T")
log = structlog.get_logger("novamesh.db")

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.5
CONNECT_TIMEOUT = 5
# Seconds that a statement waits for a lock before its unit is tried again, and that a transaction may stand
# idle: its conductor has died or is cut off, and others need what it has locked.
LOCK_TIMEOUT = 10
IDLE_TIMEOUT = 30
# Seconds in which a server that went away without a word is found out.
SILENCE = 30


def _arguments(server: str) -> dict[str, Any]:
    """What the driver of a server is told, so that nobody waits for ever."""
    if server == "postgresql":
        return {
            "connect_timeout": CONNECT_TIMEOUT,
            "options": f"-c lock_timeout={LOCK_TIMEOUT}s"
            f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT}s",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": SILENCE * 1000,
        }
    limits = f"innodb_lock_wait_timeout={LOCK_TIMEOUT}, SESSION idle_transaction_timeout={IDLE_TIMEOUT}"
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "init_command": f"SET SESSION {limits}",
        "read_timeout": SILENCE,
        "write_timeout": SILENCE,
    }


def engine(url: URL, isolation: str, size: int) -> Engine:
    """An engine whose connections are in one isolation level for good: changing it costs a round trip."""
    return create_engine(
        url,
        isolation_level=isolation,
        # Errors end in logs, and values are password hashes and user data.
        hide_parameters=True,
        pool_size=size,
        max_overflow=0,
        # Every unit ends in a commit or a rollback of its own, so the pool need not make sure.
        pool_reset_on_return=None,
        connect_args=_arguments(url.get_backend_name()),
    )


class PooledDatabase(Database):
    """A database server, shared with other conductors."""

    def __init__(self, url: URL, options: DatabaseOptions) -> None:
        self.dialect = url.get_backend_name()
        self._options = options
        self._where = f"{url.host or 'localhost'}/{url.database}"
        self._reads = engine(url, "AUTOCOMMIT", options.max_pool_size)
        # Locks are taken by row and by unique key; MariaDB's default level adds gap locks, which only
        # deadlock.
        self._writes = engine(url, "READ COMMITTED", options.max_pool_size)
        self._threads = ThreadPoolExecutor(options.max_pool_size, thread_name_prefix="db")
        self._closed = False

    async def read(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._read, work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        return await self._run(self._write, work)

    async def close(self) -> None:
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)
        self._reads.dispose()
        self._writes.dispose()

    def _read(self, work: Callable[[Connection], T]) -> T:
        with self._reads.connect() as connection:
            return work(connection)

    def _write(self, work: Callable[[Connection], T]) -> T:
        with self._writes.connect() as connection:
            try:
                result = work(connection)
                connection.commit()
            except BaseException:
                connection.rollback()
                raise
            return result

    async def _run(self, how: Callable[[Callable[[Connection], T]], T], work: Callable[[Connection], T]) -> T:
        until = time.monotonic() + self._options.patience
        pause = FIRST_PAUSE
        while True:
            if self._closed:
                raise UnavailableError("database", "The database is closed.")
            try:
                return await asyncio.get_running_loop().run_in_executor(self._threads, how, work)
            except Exception as error:
                if not passes(error):
                    raise
                if time.monotonic() + pause >= until:
                    raise UnavailableError(
                        "database", f"The database at {self._where} does not answer: {error}", 1.0
                    ) from error
                log.info("unit of work tried again", database=self._where, error=type(error).__name__)
            # Two that deadlocked must not meet again at once.
            await asyncio.sleep(pause * (0.5 + random.random()))  # noqa: S311
            pause = min(pause * 2, LONGEST_PAUSE)

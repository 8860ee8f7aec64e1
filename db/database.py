"""What the conductor needs of a database: units of work, read or written.

A unit is a plain function of a SQLAlchemy connection. It may run twice (after a deadlock, a lock held by
somebody else, a lost connection), so it has no side effect but its SQL. `db.connect` opens the one that
fits a URL.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection

T = TypeVar("T")

__all__ = ["Connection", "Database", "DatabaseOptions"]


@dataclass(frozen=True)
class DatabaseOptions:
    """How a database is used. Names as oslo.db has them where it has them."""

    patience: float = 25.0
    """Seconds that a unit of work waits for a database that is locked or away before UnavailableError."""

    max_pool_size: int = 8
    """Connections (and threads) for PostgreSQL and MariaDB."""

    synchronous: str = "FULL"
    """SQLite's durability: FULL survives a power cut, NORMAL only a crash of the process."""


class Database(ABC):
    """One database, used from one event loop."""

    dialect: str
    """sqlite, postgresql or mysql (which MariaDB is, too)."""

    @abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads, and return what it returns.

        Raises UnavailableError when the database stays locked or away longer than `patience`.
        """

    @abstractmethod
    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in one transaction, and return what it returns once that is committed.

        An exception out of `work` rolls its writes back and comes out here.
        Raises UnavailableError when the database stays locked or away longer than `patience`.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun, then let go of the connections. Once more does nothing."""

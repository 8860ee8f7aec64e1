"""Writes that share a transaction on SQLite."""

import asyncio
from contextvars import ContextVar
from pathlib import Path

import sqlalchemy as sa

from db.connect import connect
from db.database import Connection

WHOSE: ContextVar[str] = ContextVar("whose", default="nobody's")


async def test_each_unit_runs_in_the_context_of_who_asked_for_it(tmp_path: Path) -> None:
    """Or its log lines would bear the request of whoever came first."""
    database = connect(f"sqlite:///{tmp_path / 'groups.sqlite'}")
    transactions: set[int] = set()

    def work(connection: Connection) -> str:
        connection.execute(sa.select(1))
        transactions.add(id(connection.get_transaction()))
        return WHOSE.get()

    async def write(name: str) -> str:
        WHOSE.set(name)
        return await database.write(work)

    names = [str(number) for number in range(5)]
    assert await asyncio.gather(*(write(name) for name in names)) == names
    assert len(transactions) == 1
    await database.close()

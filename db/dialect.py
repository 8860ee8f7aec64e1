"""The few places where the three databases want different words."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.dialects import mysql, postgresql, sqlite


def insert_missing(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert `row` unless one with its key is there."""
    if connection.dialect.name == "postgresql":
        connection.execute(postgresql.insert(table).values(row).on_conflict_do_nothing())
    elif connection.dialect.name == "sqlite":
        connection.execute(sqlite.insert(table).values(row).on_conflict_do_nothing())
    else:
        connection.execute(mysql.insert(table).values(row).prefix_with("IGNORE"))


def insert_number(connection: Connection, table: Table, row: Mapping[str, Any]) -> int:
    """Insert `row` into a table with a `number`, and return the number that it got."""
    key = connection.execute(table.insert(), dict(row)).inserted_primary_key
    assert key is not None
    return int(key[0])


def insert_numbers(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Insert `rows`, which have an `id` each, and return their numbers: two statements for however many."""
    if len(rows) == 1:
        return [insert_number(connection, table, rows[0])]
    # MySQL returns nothing of what it inserts, so that all three are asked afterwards.
    connection.execute(table.insert(), [dict(row) for row in rows])
    wanted = select(table.c.id, table.c.number).where(table.c.id.in_([row["id"] for row in rows]))
    numbers = {found.id: found.number for found in connection.execute(wanted)}
    return [numbers[row["id"]] for row in rows]

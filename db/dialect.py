"""The few places where the three databases want different words."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table
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

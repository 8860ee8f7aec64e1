"""Which schema this version of novamesh needs, and which one a database has.

Apart from db.migrate, so that a process which only looks doesn't load Alembic: that is 9 MiB, and a quarter
of a second.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from db.database import DatabaseOptions
from db.sqlite import engine as sqlite_engine

# In their order; each is a file in db/migrations/versions.
REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010")
HEAD = REVISIONS[-1]
VERSION_TABLE = "schema_version"
# Seconds that one waits for another who upgrades the same database.
LOCK_SECONDS = 60

_version = sa.table(VERSION_TABLE, sa.column("version_num"))


class SchemaMismatchError(Exception):
    """The database's schema isn't the one that this version needs."""


class UnreachableError(SchemaMismatchError):
    """The database can't be asked for its schema."""


def current(url: str) -> str:
    """The revision that the database at `url` is at; empty when it has no schema.

    Raises UnreachableError.
    """
    with connected(url) as connection:
        return found_in(connection)


def check(url: str) -> None:
    """Make sure that the database at `url` is at `HEAD`.

    Raises SchemaMismatchError, which says what to do.
    """
    found = current(url)
    if found != HEAD:
        refuse_newer(found)
        raise SchemaMismatchError(
            f"the database's schema is at {found or 'nothing'}, this version needs {HEAD}: "
            "run `novamesh db upgrade`"
        )


def refuse_newer(revision: str) -> None:
    """Raise SchemaMismatchError for a revision that this version doesn't know."""
    if revision and revision not in REVISIONS:
        raise SchemaMismatchError(
            f"the database's schema is at {revision}, which is newer than this version of novamesh "
            f"(it needs {HEAD})"
        )


def found_in(connection: sa.Connection) -> str:
    """The revision that a database is at; empty when it has no schema."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return ""
    return connection.execute(sa.select(_version.c.version_num)).scalar() or ""


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection to the database at `url`; on SQLite it holds the lock for writing.

    Raises UnreachableError, which names the database without its password.
    """
    try:
        if url.startswith("sqlite"):
            engine = sqlite_engine(url, "BEGIN IMMEDIATE", DatabaseOptions(), LOCK_SECONDS)
        else:
            engine = sa.create_engine(url, poolclass=sa.NullPool)
    except (sa.exc.ArgumentError, ModuleNotFoundError) as error:
        raise UnreachableError(f"[database] connection can't be used: {error}") from error
    try:
        try:
            connection = engine.connect()
        except sa.exc.DBAPIError as error:
            where = engine.url.render_as_string(hide_password=True)
            raise UnreachableError(f"the database {where} can't be reached: {error.orig}") from error
        with connection:
            yield connection
    finally:
        engine.dispose()

"""Bring a database's schema to what this version of novamesh expects.

python -m db.migrate < file-with-the-URL     upgrades, and prints the revision that the database was at

The URL comes by standard input because it may hold a password.
"""

import sys
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from db import revision

FOLDER = Path(__file__).parent / "migrations"
# Of the advisory lock that keeps two upgrades of one database apart.
LOCK = 0x6E6F7661


class DowngradeRefusedError(Exception):
    """Schemas only go forward: going back would throw rows away. Restore a backup instead."""

    def __init__(self, at: str) -> None:
        super().__init__(
            f"the schema can't go back from {at}: restore the backup made before it was upgraded"
        )


def revisions() -> list[str]:
    """The revisions that there are migrations for, in their order."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def upgrade(url: str) -> str:
    """Bring the database at `url` to `revision.HEAD`; whoever comes second waits. Returns the revision that
    it was at.

    Raises SchemaMismatchError when the database is newer than this version.
    """
    with revision.connected(url) as connection:
        before = revision.found_in(connection)
        if before == revision.HEAD:
            return before
        revision.refuse_newer(before)
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
        elif connection.dialect.name == "mysql":
            connection.execute(sa.select(sa.func.get_lock("novamesh_schema", revision.LOCK_SECONDS)))
            # The session's lock stays; the snapshot, which may be older than what the holder before wrote,
            # goes.
            connection.commit()
        # On SQLite the transaction itself is the lock. Alembic reads the revision again, now that it can't
        # change.
        command.upgrade(_config(connection), "head")
        connection.commit()
        return before


def downgrade(url: str, to: str) -> None:
    """Refused.

    Raises DowngradeRefusedError always.
    """
    raise DowngradeRefusedError(revision.current(url) or to)


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def main() -> None:
    """Upgrade the database whose URL is on standard input."""
    try:
        before = upgrade(sys.stdin.read().strip())
    except revision.SchemaMismatchError as error:
        sys.exit(str(error))
    sys.stdout.write(before)


if __name__ == "__main__":
    main()

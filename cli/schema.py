"""The database's schema, upgraded by a process of its own."""

import subprocess
import sys

from db import revision
from db.revision import HEAD, SchemaMismatchError, check

__all__ = ["HEAD", "SchemaMismatchError", "check", "upgrade"]


def upgrade(url: str) -> str:
    """Bring the schema of the database at `url` to what this version needs; returns the revision that it was
    at.

    A process of its own does it, and only where there is something to do: Alembic and its templates would
    otherwise stay in the cloud's process, a fifteenth of its memory, for good.
    Raises SchemaMismatchError when the database is newer than this version or can't be upgraded.
    """
    before = revision.current(url)
    if before == HEAD:
        return before
    revision.refuse_newer(before)
    command = [sys.executable, "-m", "db.migrate"]
    ended = subprocess.run(command, input=url, text=True, capture_output=True, check=False)
    if ended.returncode:
        raise SchemaMismatchError(f"the schema could not be upgraded: {ended.stderr.strip()}")
    return ended.stdout

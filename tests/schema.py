"""Schemas for the databases of tests."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import sqlalchemy as sa

from db import migrate


@cache
def _made() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="novamesh-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    migrate.upgrade(f"sqlite:///{folder / 'empty.sqlite'}")
    return folder / "empty.sqlite"


def make_schema(url: str) -> None:
    """Give a database its schema. A new SQLite file gets a copy of one that was made before, which is much
    faster than making it."""
    file = sa.make_url(url).database
    if url.startswith("sqlite") and file and not Path(file).exists():
        shutil.copy(_made(), file)
    else:
        migrate.upgrade(url)

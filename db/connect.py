"""Open the database that a URL names."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from db.database import Database, DatabaseOptions
from db.pooled import PooledDatabase
from db.sqlite import SqliteDatabase

_DEFAULTS = DatabaseOptions()
URLS = (
    "sqlite:///path, postgresql+psycopg://user:password@host/name or mysql+pymysql://user:password@host/name"
)


def connect(url: str, options: DatabaseOptions = _DEFAULTS) -> Database:
    """The database at `url`, whose schema `db.migrate.upgrade` has made. Nothing is contacted before the
    first use.

    Raises ValueError when the URL is none of sqlite:///, postgresql+psycopg:// and mysql+pymysql://.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ValueError(f"database connection {url!r} is no URL: expected {URLS}") from error
    if parsed.drivername == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError("database connection: SQLite needs a file, sqlite:///path")
        return SqliteDatabase(parsed, options)
    if parsed.drivername == "postgresql+psycopg":
        return PooledDatabase(parsed, options)
    if parsed.drivername == "mysql+pymysql":
        return PooledDatabase(parsed.update_query_dict({"charset": "utf8mb4"}), options)
    raise ValueError(f"database connection {parsed.drivername}:// is not supported: expected {URLS}")

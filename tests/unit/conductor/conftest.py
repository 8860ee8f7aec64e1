"""A throw-away database for each test, on SQLite and, where a test is about what databases differ in, on
all three."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

SERVERS = {
    "postgresql": ("NOVAMESH_TEST_POSTGRESQL_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"),
    "mysql": ("NOVAMESH_TEST_MYSQL_URL", "mysql+pymysql://root@127.0.0.1:3306/mysql"),
}
EVERYWHERE = [
    "sqlite",
    pytest.param("postgresql", marks=pytest.mark.database),
    pytest.param("mysql", marks=pytest.mark.database),
]


def _server(kind: str) -> sa.URL:
    variable, default = SERVERS[kind]
    return sa.make_url(os.environ.get(variable, default))


def _run(server: sa.URL, statement: str) -> None:
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT", connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def make_url(kind: str, folder: Path) -> str:
    """A new, empty database. Fails, saying what to start or to set, when its server doesn't answer."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/novamesh.db"
    name = f"novamesh_test_{uuid.uuid4().hex[:12]}"
    server = _server(kind)
    try:
        _run(server, f"CREATE DATABASE {name}")
    except sa.exc.OperationalError as error:
        pytest.fail(
            f"{kind} is missing: {server.render_as_string()} does not answer ({error.orig}). Start it, or "
            f"set {SERVERS[kind][0]} to a server on which databases may be created."
        )
    return server.set(database=name).render_as_string(hide_password=False)


def drop(url: str) -> None:
    """Remove what `make_url` made; files go with their folder."""
    parsed = sa.make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return
    force = " WITH (FORCE)" if kind == "postgresql" else ""
    _run(_server(kind), f"DROP DATABASE {parsed.database}{force}")


@pytest.fixture(params=EVERYWHERE)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database on each of the three."""
    made = make_url(request.param, tmp_path)
    yield made
    drop(made)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """A database on SQLite alone."""
    return make_url("sqlite", tmp_path)

"""The schema: made from nothing, the same as the models, and never taken back."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cli import schema
from db import migrate, revision
from db.schema import base


def test_upgrade_from_empty_makes_what_the_models_say(url: str) -> None:
    with pytest.raises(revision.SchemaMismatchError, match="novamesh db upgrade"):
        revision.check(url)
    assert migrate.upgrade(url) == ""
    assert migrate.upgrade(url) == revision.HEAD == revision.current(url)
    revision.check(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        options = {"version_table": revision.VERSION_TABLE, "compare_type": True}
        found = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(found, base.metadata) == []
    engine.dispose()


def test_two_upgrades_at_once_are_one(url: str) -> None:
    errors: list[BaseException] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(url)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert revision.current(url) == revision.HEAD


def test_downgrade_is_refused_and_changes_nothing(url: str) -> None:
    migrate.upgrade(url)
    with pytest.raises(migrate.DowngradeRefusedError, match="restore the backup"):
        migrate.downgrade(url, "base")
    assert revision.current(url) == revision.HEAD


def test_a_newer_schema_is_not_touched(url: str) -> None:
    migrate.upgrade(url)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {revision.VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(revision.SchemaMismatchError, match="newer than this version"):
        migrate.upgrade(url)
    with pytest.raises(revision.SchemaMismatchError, match="newer than this version"):
        revision.check(url)


def test_the_revisions_are_those_that_there_are_migrations_for() -> None:
    assert list(revision.REVISIONS) == migrate.revisions()


def test_the_command_upgrades_in_a_process_of_its_own(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/novamesh.db"
    assert schema.upgrade(url) == ""
    assert schema.upgrade(url) == revision.HEAD == revision.current(url)


def test_an_upgrade_that_fails_says_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/novamesh.db"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE instances (id INTEGER)"))
    engine.dispose()
    with pytest.raises(revision.SchemaMismatchError, match="table instances already exists"):
        schema.upgrade(url)

"""Filters and markers that are attacks: on SQLite they are matched on the event loop."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest
from novamesh.failures import InvalidArgumentError, NotFoundError
from tests.schema import make_schema
from tests.unit.conductor.fakes import Cloud, cloud_at
from tests.unit.conductor.test_instances import named, names


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    url = f"sqlite:///{tmp_path}/novamesh.db"
    make_schema(url)
    async with cloud_at(url) as made:
        yield made


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*X", "(a*)*b", "^(([a-z])+.)+[A-Z]$", "(.*.*.*.*.*.*)*X"]
)
async def test_a_pattern_that_backtracks_ends(cloud: Cloud, pattern: str) -> None:
    # An engine that backtracks takes some 2 to the power of 200 steps for each of these.
    await named(cloud, "a" * 200 + "!")
    assert await names(cloud, name_regex=pattern) == []


@pytest.mark.parametrize("pattern", ["((a{100}){100}){100}", "(?=a)", r"(a)\1", "["])
async def test_a_pattern_that_cannot_be_linear_is_refused(cloud: Cloud, pattern: str) -> None:
    await named(cloud, "a")
    with pytest.raises(InvalidArgumentError):
        await names(cloud, name_regex=pattern)


async def test_a_marker_of_another_project_is_none(cloud: Cloud) -> None:
    one = await named(cloud, "one")
    mine = InstanceFilter(project_id=one.project_id)
    assert await names(cloud, ListInstancesRequest(filter=mine, marker=one.id)) == []
    with pytest.raises(NotFoundError):
        await names(cloud, ListInstancesRequest(filter=InstanceFilter(project_id="other"), marker=one.id))


async def test_errors_of_the_database_tell_no_values(cloud: Cloud) -> None:
    def work(connection: sa.Connection) -> None:
        connection.execute(sa.text("SELECT * FROM nothing WHERE secret = :secret"), {"secret": "hunter2"})

    for step in (cloud.database.read, cloud.database.write):
        with pytest.raises(sa.exc.DBAPIError) as failed:
            await step(work)
        assert "hunter2" not in str(failed.value)


async def test_a_database_is_for_its_owner_alone(cloud: Cloud, tmp_path: Path) -> None:
    await named(cloud, "one")
    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path)}
    assert "novamesh.db" in modes
    assert {mode for name, mode in modes.items() if name.startswith("novamesh.db")} == {0o600}

"""Which way SQLite takes to a list: straight to those that are there, however many have been deleted."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from db import instance_queries
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest
from tests.schema import make_schema


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (InstanceFilter(project_id="p"), "ix_instances_project_id_deleted_at_created_at"),
        (InstanceFilter(), "ix_instances_deleted_at_created_at"),
        (InstanceFilter(host="host1"), "ix_instances_host_deleted_at_created_at"),
    ],
    ids=["of a project", "of all", "of a host"],
)
def test_lists_lead_to_those_that_are_there(tmp_path: Path, wanted: InstanceFilter, index: str) -> None:
    url = f"sqlite:///{tmp_path / 'plan.sqlite'}"
    make_schema(url)
    engine = sa.create_engine(url)
    plans: list[str] = []

    @sa.event.listens_for(engine, "before_cursor_execute")
    def explain(_connection: object, cursor: object, statement: str, parameters: object, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor.execute("EXPLAIN QUERY PLAN " + statement, parameters)  # type: ignore[attr-defined]
            plans.append(" ".join(str(row[3]) for row in cursor.fetchall()))  # type: ignore[attr-defined]

    with engine.connect() as connection:
        instance_queries.page(connection, ListInstancesRequest(filter=wanted))
    engine.dispose()
    assert index in plans[0]
    assert "deleted_at=?" in plans[0]
    assert "TEMP B-TREE" not in plans[0]

"""The list of what runs: one record for each role on each host."""

import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, func, select, update

from db.dialect import insert_missing
from db.schema.base import moment, timestamp
from db.schema.compute import nodes
from novamesh.conductor.v1.node_service_pb2 import Node
from novamesh.failures import NotFoundError

_c = nodes.c
_REPORT = (
    update(nodes)
    .where(_c.role == bindparam("of_role"), _c.host == bindparam("on_host"))
    .values(address=bindparam("at_address"), version=bindparam("of_version"), reported_at=bindparam("at"))
)


def report(connection: Connection, reports: Iterable[Node]) -> None:
    """Write heartbeats: role, host, address, version and reported_at of each."""
    for node in reports:
        values = {
            "of_role": node.role,
            "on_host": node.host,
            "at_address": node.address,
            "of_version": node.version,
            "at": moment(node.reported_at),
        }
        if connection.execute(_REPORT, values).rowcount == 0:
            insert_missing(
                connection,
                nodes,
                {
                    "id": str(uuid.uuid4()),
                    "role": node.role,
                    "host": node.host,
                    "address": node.address,
                    "version": node.version,
                    "reported_at": values["at"],
                    "created_at": values["at"],
                },
            )


def last_report(connection: Connection, role: str) -> datetime | None:
    """When a role was last heard of, on any host; None for never."""
    return connection.execute(select(func.max(_c.reported_at)).where(_c.role == role)).scalar()


def everyone(connection: Connection, up_since: datetime) -> list[Node]:
    """All records in the order of their number; up when the last report is not before `up_since`."""
    return [
        Node(
            id=found.id,
            number=found.number,
            role=found.role,
            host=found.host,
            address=found.address,
            version=found.version,
            reported_at=timestamp(found.reported_at),
            created_at=timestamp(found.created_at),
            up=found.reported_at >= up_since,
        )
        for found in connection.execute(select(nodes).order_by(_c.number))
    ]


def remove(connection: Connection, node_id: str) -> None:
    """Remove one.

    Raises NotFoundError.
    """
    if connection.execute(delete(nodes).where(_c.id == node_id)).rowcount == 0:
        raise NotFoundError("node", node_id)

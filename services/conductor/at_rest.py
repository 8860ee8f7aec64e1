"""Instances that stay in one state until a loop of the conductor ends that."""

from collections.abc import AsyncIterator

from db import instance_queries
from db.database import Database
from novamesh.types.v1.instance_pb2 import Instance, VmState


async def every(database: Database, vm_state: VmState.ValueType) -> AsyncIterator[Instance]:
    """All instances in this state that nothing is being done to, the oldest first, read page by page."""
    after = 0
    while found := await database.read(lambda c: instance_queries.at_rest(c, vm_state, after)):  # noqa: B023
        for instance in found:
            yield instance
        after = found[-1].number

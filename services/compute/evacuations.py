"""Evacuations that are over for good: this host was down, is back, and has nothing left of the guests."""

from collections.abc import Container

import structlog

from novamesh.conductor.v1.migration_service_pb2 import (
    CompleteEvacuationsRequest,
    ListMigrationsRequest,
    MigrationFilter,
)
from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.types.v1.migration_pb2 import MIGRATION_STATUS_DONE, MIGRATION_TYPE_EVACUATION
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")


class Evacuations:
    """Tells the conductor which of them are over."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def complete(self, guests: Container[str]) -> None:
        """`guests` are the instances that have a guest here. Raises what the conductor fails with."""
        stub = MigrationServiceStub(self._node.channel("conductor"))
        left = MigrationFilter(
            source_compute=self._node.identity.host,
            types=[MIGRATION_TYPE_EVACUATION],
            statuses=[MIGRATION_STATUS_DONE],
        )
        gone: list[str] = []
        request = ListMigrationsRequest(filter=left)
        while True:
            answer = await stub.ListMigrations(request)
            gone += [one.instance_id for one in answer.migrations if one.instance_id not in guests]
            if not answer.next_page_token:
                break
            request = ListMigrationsRequest(filter=left, page_token=answer.next_page_token)
        if gone:
            await stub.CompleteEvacuations(CompleteEvacuationsRequest(instance_ids=gone))
            log.info("evacuations completed", count=len(gone))

"""Guests of instances that this host doesn't get to see: on their way to it or from it, or gone elsewhere.

A host sees the records of its own instances only, and of the migrations that it is a side of.
"""

from typing import Literal

from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest, MigrationFilter
from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.types.v1.migration_pb2 import MigrationStatus
from services.mesh import Node

Whereabouts = Literal["moving", "elsewhere", "unclaimed"]

# The instance has gone to its destination.
_GONE = (
    MigrationStatus.MIGRATION_STATUS_COMPLETED,
    MigrationStatus.MIGRATION_STATUS_DONE,
    MigrationStatus.MIGRATION_STATUS_CONFIRMED,
)
# It has stayed at its source.
_STAYED = (
    MigrationStatus.MIGRATION_STATUS_FAILED,
    MigrationStatus.MIGRATION_STATUS_ERROR,
    MigrationStatus.MIGRATION_STATUS_CANCELLED,
    MigrationStatus.MIGRATION_STATUS_REVERTED,
)


async def whereabouts(node: Node, instance_id: str) -> Whereabouts:
    """Where an instance is that isn't this host's, by the newest of its migrations that this host knows of.

    Raises what the conductor fails with.
    """
    host = node.identity.host
    wanted = MigrationFilter(instance_id=instance_id, host=host)
    stub = MigrationServiceStub(node.channel("conductor"))
    answer = await stub.ListMigrations(ListMigrationsRequest(filter=wanted, page_size=1))
    if not answer.migrations:
        return "unclaimed"
    newest = answer.migrations[0]
    if newest.status in _GONE:
        return "elsewhere" if newest.source_compute == host else "unclaimed"
    if newest.status in _STAYED:
        return "elsewhere" if newest.dest_compute == host else "unclaimed"
    return "moving"

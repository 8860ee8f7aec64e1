"""The end of servers: DELETE, which may be taken back where reclaim_instance_interval is set, forceDelete and
restore."""

from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.routes import Route
from novamesh.types.v1.operation_pb2 import OperationKind

_RULE = "os_compute_api:os-deferred-delete:"
_ACTION = "/servers/{id}/action"


async def delete(call: ComputeRequest) -> None:
    """DELETE /servers/{id}: soft where the conductor keeps deleted servers for a while."""
    await server_operations.start(call, OperationKind.OPERATION_KIND_SOFT_DELETE)


_FORCE_DELETE = server_operations.simple(OperationKind.OPERATION_KIND_DELETE)
_RESTORE = server_operations.simple(OperationKind.OPERATION_KIND_RESTORE)

ROUTES = (
    Route("DELETE", "/servers/{id}", "os_compute_api:servers:delete", delete, status=204),
    Route("POST", _ACTION, _RULE + "force", _FORCE_DELETE, status=202, action="forceDelete"),
    Route("POST", _ACTION, _RULE + "restore", _RESTORE, status=202, action="restore"),
)

"""Action trigger_crash_dump, microversion 2.17: an interrupt at which a guest may dump its memory."""

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.routes import Route
from novamesh.types.v1.operation_pb2 import OperationKind

ROUTES = (
    Route(
        "POST",
        "/servers/{id}/action",
        "os_compute_api:servers:trigger_crash_dump",
        server_operations.simple(OperationKind.OPERATION_KIND_TRIGGER_CRASH_DUMP),
        status=202,
        body=((17, p.wrapped("trigger_crash_dump", p.NOTHING)),),
        action="trigger_crash_dump",
        first=17,
    ),
)

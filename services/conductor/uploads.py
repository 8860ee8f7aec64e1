"""Who may upload what: for the image role, which knows a host by its certificate and nothing of its work."""

from db import instances, operations
from db.database import Connection
from novamesh.conductor.v1.operation_service_pb2 import CheckUploadRequest
from novamesh.failures import NotFoundError, PermissionDeniedError
from novamesh.types.v1.operation_pb2 import OperationKind

UPLOADING = frozenset(
    {
        OperationKind.OPERATION_KIND_SNAPSHOT,
        OperationKind.OPERATION_KIND_BACKUP,
        OperationKind.OPERATION_KIND_SHELVE,
    }
)


def check(connection: Connection, request: CheckUploadRequest) -> None:
    """Make sure that this operation is under way on that host and for that image.

    Raises PermissionDeniedError.
    """
    refused = PermissionDeniedError(
        "upload_image",
        f"Operation {request.operation_id} has {request.host} upload nothing to image {request.image_id}.",
    )
    try:
        operation = operations.get(connection, request.operation_id)
        instance = instances.get(connection, operation.instance_id)
    except NotFoundError:
        raise refused from None
    if (
        operation.kind not in UPLOADING
        or operation.state not in (operations.PENDING, operations.RUNNING)
        or not request.image_id
        or operation.arguments.snapshot.image_id != request.image_id
        or not request.host
        or instance.host != request.host
    ):
        raise refused

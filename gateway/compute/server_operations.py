"""How the Compute API asks for work on a server: an action, which becomes an operation of the ledger."""

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import missing
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Rows
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest, StartOperationResponse
from novamesh.failures import Failure, NotFoundError
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind


async def start(
    call: ComputeRequest, kind: OperationKind.ValueType, arguments: OperationArguments | None = None
) -> StartOperationResponse:
    """Ask for work on the server that the path names. Raises HttpError 404, and the conductor's failures."""
    server_id = call.path.get("server_id") or call.path["id"]
    try:
        answer: StartOperationResponse = await call.state.operations.StartOperation(
            StartOperationRequest(
                request_id=call.context.request_id,
                instance_id=server_id,
                project_id=call.project_scope,
                kind=kind,
                arguments=arguments,
            ),
            timeout=call.state.timeout,
        )
    except NotFoundError as failure:
        if not _is_server(failure):
            raise
        raise missing(server_id) from None
    return answer


def simple(kind: OperationKind.ValueType) -> Handler:
    """The handler of an action that needs nothing but the server."""

    async def act(call: ComputeRequest) -> None:
        await start(call, kind)

    return act


def action(name: str, rule: str, handler: Handler, *, status: int = 202, body: Rows = ()) -> Route:
    """The route of an action that every microversion has. `rule` is what follows `os_compute_api:`."""
    return Route(
        "POST",
        "/servers/{id}/action",
        f"os_compute_api:{rule}",
        handler,
        status=status,
        body=body,
        action=name,
    )


def _is_server(failure: Failure) -> bool:
    return getattr(failure.detail, "resource_type", "") == "instance"

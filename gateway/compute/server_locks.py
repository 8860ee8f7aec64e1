"""Actions lock and unlock: a locked server obeys administrators only."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import missing
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.instance_service_pb2 import LockInstanceRequest, UnlockInstanceRequest
from novamesh.failures import NotFoundError, PermissionDeniedError

_RULE = "os_compute_api:os-lock-server:"
_OVERRIDE = _RULE + "unlock:unlock_override"


async def lock(call: ComputeRequest) -> None:
    """lock, with a reason from 2.73 on."""
    server_id, given = call.path["id"], call.body["lock"]
    has_reason = call.minor >= 73 and isinstance(given, dict)
    request = LockInstanceRequest(
        request_id=call.context.request_id,
        id=server_id,
        project_id=call.project_scope,
        reason=given.get("locked_reason", "") if has_reason else "",
    )
    try:
        await call.state.instances.LockInstance(request, timeout=call.state.timeout)
    except NotFoundError:
        raise missing(server_id) from None


async def unlock(call: ComputeRequest) -> None:
    """unlock: what an administrator has locked needs the rule unlock_override."""
    server_id = call.path["id"]
    request = UnlockInstanceRequest(
        request_id=call.context.request_id,
        id=server_id,
        project_id=call.project_scope,
        override=call.allows(_OVERRIDE),
    )
    try:
        await call.state.instances.UnlockInstance(request, timeout=call.state.timeout)
    except NotFoundError:
        raise missing(server_id) from None
    except PermissionDeniedError:
        raise HttpError(403, f"Policy doesn't allow {_OVERRIDE} to be performed.") from None


_REASON = {
    "type": ["object", "null"],
    "properties": {"locked_reason": {"type": "string", "minLength": 1, "maxLength": 255}},
    "additionalProperties": False,
}
_PATH = "/servers/{id}/action"

ROUTES = (
    Route(
        "POST",
        _PATH,
        _RULE + "lock",
        lock,
        status=202,
        body=((1, p.wrapped("lock", {})), (73, p.wrapped("lock", _REASON))),
        action="lock",
    ),
    Route("POST", _PATH, _RULE + "unlock", unlock, status=202, action="unlock"),
)

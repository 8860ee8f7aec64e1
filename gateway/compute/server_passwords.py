"""The password that a guest has set for its administrator, encrypted to its user's key."""

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find, missing
from gateway.routes import Route
from novamesh.conductor.v1.password_service_pb2 import ClearPasswordRequest
from novamesh.failures import NotFoundError

_PATH = "/servers/{server_id}/os-server-password"
_RULE = "os_compute_api:os-server-password:"
# The conductor keeps it in pieces of the system metadata.
_PIECES = tuple(f"password_{number}" for number in range(4))


async def show(call: ComputeRequest) -> object:
    """GET os-server-password: an empty text while there is none."""
    kept = (await find(call)).system_metadata
    return {"password": "".join(kept.get(name, "") for name in _PIECES)}


async def clear(call: ComputeRequest) -> None:
    """DELETE os-server-password: forget it. What the guest itself has stays as it is."""
    server_id = call.path["server_id"]
    try:
        await call.state.passwords.ClearPassword(
            ClearPasswordRequest(instance_id=server_id, project_id=call.project_scope),
            timeout=call.state.timeout,
        )
    except NotFoundError:
        raise missing(server_id) from None


ROUTES = (
    Route("GET", _PATH, _RULE + "show", show),
    Route("DELETE", _PATH, _RULE + "clear", clear, status=204),
)

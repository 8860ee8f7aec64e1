"""The administrator's password: chosen when a server is made, and changed by the action changePassword."""

import secrets
import string
from collections.abc import Mapping
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import missing
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.guest_service_pb2 import SetAdminPasswordRequest
from novamesh.failures import DriverFailureError, NotFoundError, NotSupportedError

_LETTERS = string.ascii_letters + string.digits


def admin_password(call: ComputeRequest, given: Mapping[str, Any]) -> str:
    """What the user chose as adminPass, else one made up. Nobody keeps it."""
    return given.get("adminPass") or "".join(
        secrets.choice(_LETTERS) for _ in range(call.state.options.password_length)
    )


async def change_password(call: ComputeRequest) -> None:
    """changePassword: by the guest's agent, before the answer."""
    server_id = call.path["id"]
    request = SetAdminPasswordRequest(
        request_id=call.context.request_id,
        instance_id=server_id,
        project_id=call.project_scope,
        password=call.body["changePassword"]["adminPass"],
    )
    try:
        await call.state.guests.SetAdminPassword(request, timeout=call.state.timeout)
    except NotFoundError:
        raise missing(server_id) from None
    except NotSupportedError as failure:
        raise HttpError(409, failure.message) from None
    except DriverFailureError:
        raise HttpError(
            409, f"Failed to set admin password on {server_id} because error setting admin password"
        ) from None


_BODY = p.wrapped("changePassword", p.record({"adminPass": {"type": "string"}}, ("adminPass",)))

ROUTES = (
    Route(
        "POST",
        "/servers/{id}/action",
        "os_compute_api:os-admin-password",
        change_password,
        status=202,
        body=((1, _BODY),),
        action="changePassword",
    ),
)

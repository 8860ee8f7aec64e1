"""Shared file systems in servers. This cloud has none, so no server ever has one."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.routes import Route

_PATH = "/servers/{server_id}/shares"
_RULE = "os_compute_api:os-server-shares:"
_FIRST = 97
_REFUSAL = "This cloud has no shared file systems."


async def index(call: ComputeRequest) -> object:
    """GET shares."""
    await find(call)
    return {"shares": []}


async def create(call: ComputeRequest) -> object:
    """POST shares: the share that is named is not there."""
    await find(call)
    raise _missing(call.body["share"]["share_id"])


async def show(call: ComputeRequest) -> object:
    """GET and DELETE shares/{id}."""
    await find(call)
    raise _missing(call.path["id"])


def _missing(share_id: str) -> HttpError:
    return HttpError(404, f"Share {share_id} could not be found. {_REFUSAL}")


_CREATE = p.wrapped(
    "share",
    p.record(
        {"share_id": p.UUID, "tag": {"type": "string", "minLength": 1, "maxLength": 255}}, ("share_id",)
    ),
)

ROUTES = (
    Route("GET", _PATH, _RULE + "index", index, first=_FIRST),
    Route(
        "POST", _PATH, _RULE + "create", create, status=404, body=((_FIRST, _CREATE),), first=_FIRST,
        refusal=_REFUSAL,
    ),
    Route("GET", _PATH + "/{id}", _RULE + "show", show, status=404, first=_FIRST, refusal=_REFUSAL),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", show, status=404, first=_FIRST, refusal=_REFUSAL),
)  # fmt: skip

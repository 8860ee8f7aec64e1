"""Volumes attached to servers: none, since this cloud has no volumes. What would attach one is refused."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.routes import Route

_PATH = "/servers/{server_id}/os-volume_attachments"
_RULE = "os_compute_api:os-volumes-attachments:"


async def index(call: ComputeRequest) -> object:
    """GET os-volume_attachments."""
    await find(call)
    return {"volumeAttachments": []}


async def show(call: ComputeRequest) -> object:
    """GET os-volume_attachments/{volume id}."""
    instance = await find(call)
    raise HttpError(404, f"Instance {instance.id} is not attached to volume {call.path['id']}")


_LIST = {"limit": p.LIMIT, "offset": p.LIMIT}

ROUTES = (
    Route(
        "GET", _PATH, _RULE + "index", index, query=((1, p.query(_LIST)), (75, p.query(_LIST, strict=True)))
    ),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
)

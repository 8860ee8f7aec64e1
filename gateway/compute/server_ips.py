"""Addresses of a server, by network."""

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.compute.views.servers import addresses
from gateway.faults import HttpError
from gateway.routes import Route


async def index(call: ComputeRequest) -> object:
    """GET all of them."""
    return {"addresses": addresses(await find(call), extended=False)}


async def show(call: ComputeRequest) -> object:
    """GET those on one network, by its label."""
    label = call.path["id"]
    known = addresses(await find(call), extended=False)
    if label not in known:
        raise HttpError(404, "Instance is not a member of specified network")
    return {label: known[label]}


ROUTES = (
    Route("GET", "/servers/{server_id}/ips", "os_compute_api:ips:index", index),
    Route("GET", "/servers/{server_id}/ips/{id}", "os_compute_api:ips:show", show),
)

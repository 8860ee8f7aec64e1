"""Topology of a server: its NUMA cells. No driver of this cloud makes any, whatever the flavor."""

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.routes import Route


async def show(call: ComputeRequest) -> object:
    """GET topology: as Nova shows a server without NUMA topology, to administrators too."""
    await find(call)
    return {"nodes": [], "pagesize_kb": None}


ROUTES = (Route("GET", "/servers/{server_id}/topology", "compute:server:topology:index", show, first=78),)

"""Servers: list, show, update. Creation is in server_creation.py, actions in server_actions.py."""

from collections.abc import Callable

from gateway.compute import parameters as p
from gateway.compute import server_filters
from gateway.compute.backends import ComputeRequest
from gateway.compute.rewriting import rewritten
from gateway.compute.schemas import servers as schema
from gateway.compute.views.links import next_links
from gateway.compute.views.servers import ServerView, wants_hosts
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.instance_service_pb2 import (
    GetInstanceRequest,
    ListInstancesResponse,
    UpdateInstanceRequest,
)
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance


async def find(call: ComputeRequest, *, read_deleted: bool = False) -> Instance:
    """The server that the path names, if it exists for the caller. Raises HttpError 404."""
    server_id = call.path.get("server_id") or call.path["id"]
    try:
        answer = await call.state.instances.GetInstance(
            GetInstanceRequest(id=server_id, project_id=call.project_scope, read_deleted=read_deleted),
            timeout=call.state.timeout,
        )
    except NotFoundError:
        raise missing(server_id) from None
    return answer.instance


async def owner(call: ComputeRequest) -> tuple[str, str] | None:
    """Project and user of the server that the path names; None where it names none that the caller sees."""
    if not (call.path and call.path_info.startswith(("/servers/", "/os-volumes_boot/"))):
        return None
    try:
        instance = await find(call, read_deleted=True)
    except HttpError:
        return None
    return instance.project_id, instance.user_id


async def rewrite(call: ComputeRequest, field: str, changed: Callable[[Instance], Instance]) -> Instance:
    """Give one field of the server that the path names another content, worked out from what it is.

    Raises HttpError 404 and GenerationConflictError.
    """

    async def attempt() -> Instance:
        instance = await find(call)
        wanted = changed(instance)
        wanted.id, wanted.generation = instance.id, instance.generation
        request = UpdateInstanceRequest(instance=wanted)
        request.update_mask.paths.append(field)
        try:
            answer = await call.state.instances.UpdateInstance(request, timeout=call.state.timeout)
        except NotFoundError:
            raise missing(instance.id) from None
        return answer.instance

    return await rewritten(attempt)


def missing(server_id: str) -> HttpError:
    """The 404 for a server that is not there, or not for the caller."""
    return HttpError(404, f"Instance {server_id} could not be found.")


async def view_for(call: ComputeRequest, shape: str) -> ServerView:
    """A view of servers for this caller, with the hosts when they are shown."""
    known = await call.state.hosts.all() if wants_hosts(call) else None
    return ServerView(call, shape, known)


async def index(call: ComputeRequest) -> object:
    """GET /servers."""
    listed = await _list(call, detail=False)
    view = ServerView(call, "detail", None)
    return _page(call, [view.brief(instance) for instance in listed.instances], listed)


async def detail(call: ComputeRequest) -> object:
    """GET /servers/detail."""
    listed = await _list(call, detail=True)
    view = await view_for(call, "detail")
    return _page(call, [view.show(instance) for instance in listed.instances], listed)


async def show(call: ComputeRequest) -> object:
    """GET /servers/{id}."""
    instance = await find(call)
    view = await view_for(call, "show")
    return {"server": view.show(instance)}


async def update(call: ComputeRequest) -> object:
    """PUT /servers/{id}."""
    given = call.body["server"]
    server_id = call.path["id"]
    await find(call)
    request = UpdateInstanceRequest(instance=Instance(id=server_id))
    for name, field in (
        ("name", "display_name"),
        ("description", "display_description"),
        ("hostname", "hostname"),
        ("accessIPv4", "access_ip_v4"),
        ("accessIPv6", "access_ip_v6"),
    ):
        if name in given:
            value = p.address(given[name]) if name.startswith("accessIP") else given[name]
            setattr(request.instance, field, value or "")
            request.update_mask.paths.append(field)
    if "OS-DCF:diskConfig" in given:
        request.instance.auto_disk_config = given["OS-DCF:diskConfig"] == "AUTO"
        request.update_mask.paths.append("auto_disk_config")
    if "pinned_availability_zone" in given:
        request.pinned_availability_zone = given["pinned_availability_zone"] or ""
    try:
        answer = await call.state.instances.UpdateInstance(request, timeout=call.state.timeout)
    except NotFoundError:
        raise missing(server_id) from None
    view = await view_for(call, "update")
    return {"server": view.show(answer.instance)}


async def _list(call: ComputeRequest, *, detail: bool) -> ListInstancesResponse:
    try:
        request = server_filters.build(call, detail=detail)
    except server_filters.NothingMatches:
        return ListInstancesResponse()
    if call.last("limit") is not None and request.page_size == 0:
        return ListInstancesResponse()
    try:
        answer: ListInstancesResponse = await call.state.instances.ListInstances(
            request, timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(400, f"marker [{request.marker}] not found") from None
    return answer


def _page(call: ComputeRequest, shown: list[dict[str, object]], listed: ListInstancesResponse) -> object:
    page: dict[str, object] = {"servers": shown}
    if shown:
        links = next_links(call, shown, listed.instances[-1].id)
        if links:
            page["servers_links"] = links
    return page


ROUTES = (
    Route("GET", "/servers", "os_compute_api:servers:index", index, query=schema.LIST),
    Route("GET", "/servers/detail", "os_compute_api:servers:detail", detail, query=schema.LIST),
    Route("GET", "/servers/{id}", "os_compute_api:servers:show", show),
    Route("PUT", "/servers/{id}", "os_compute_api:servers:update", update, body=schema.UPDATE),
)

"""Flavors: list, show, create, update, delete, and who may use those that are not public."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views.flavors import FlavorView
from gateway.compute.views.links import next_links, page_limit
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema, worded_pattern
from novamesh.conductor.v1.flavor_service_pb2 import (
    AddFlavorAccessRequest,
    CreateFlavorRequest,
    DeleteFlavorRequest,
    GetFlavorRequest,
    ListFlavorAccessRequest,
    ListFlavorsRequest,
    ListFlavorsResponse,
    RemoveFlavorAccessRequest,
    UpdateFlavorRequest,
)
from novamesh.failures import AlreadyExistsError, NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor

_ALL, _PUBLIC, _PRIVATE = 0, 1, 2
# The API's word for what a list is sorted by, and the field of Flavor.
_SORT_FIELDS = {
    "created_at": "created_at",
    "description": "description",
    "disabled": "disabled",
    "ephemeral_gb": "ephemeral_gb",
    "flavorid": "id",
    "id": "number",
    "is_public": "is_public",
    "memory_mb": "memory_mb",
    "name": "name",
    "root_gb": "root_gb",
    "rxtx_factor": "rxtx_factor",
    "swap": "swap_mb",
    "updated_at": "updated_at",
    "vcpu_weight": "vcpus",
    "vcpus": "vcpus",
}


async def find(call: ComputeRequest, flavor_id: str) -> Flavor:
    """The flavor, if the caller may see it. Raises HttpError 404."""
    try:
        answer = await call.state.flavors.GetFlavor(
            GetFlavorRequest(id=flavor_id, project_id=call.project_scope), timeout=call.state.timeout
        )
    except NotFoundError:
        raise _missing(flavor_id) from None
    return answer.flavor


def _missing(flavor_id: str) -> HttpError:
    return HttpError(404, f"Flavor {flavor_id} could not be found.")


async def index(call: ComputeRequest) -> object:
    """GET /flavors."""
    return await _page(call, brief=True)


async def detail(call: ComputeRequest) -> object:
    """GET /flavors/detail."""
    return await _page(call, brief=False)


async def _page(call: ComputeRequest, *, brief: bool) -> object:
    listed = await _list(call)
    view = FlavorView(call, brief=brief)
    flavors = [view.show(flavor) for flavor in listed.flavors]
    page: dict[str, object] = {"flavors": flavors}
    if flavors:
        links = next_links(call, flavors, listed.flavors[-1].id)
        if links:
            page["flavors_links"] = links
    return page


async def _list(call: ComputeRequest) -> ListFlavorsResponse:
    limit = page_limit(call)
    if limit == 0:
        return ListFlavorsResponse()
    request = ListFlavorsRequest(
        visibility=_visibility(call),
        min_ram_mb=_least(call, "minRam"),
        min_disk_gb=_least(call, "minDisk"),
        sort_key=_SORT_FIELDS[call.last("sort_key") or "flavorid"],
        descending=call.last("sort_dir") == "desc",
        page_size=limit,
        marker=call.last("marker") or "",
    )
    if call.minor >= 102:
        request.name = call.last("name") or ""
    if request.visibility == _PUBLIC or not call.context.is_admin:
        # With the public ones come those that the project may use, for administrators too.
        request.visibility = _ALL
        request.project_id = call.context.project_id
    try:
        answer: ListFlavorsResponse = await call.state.flavors.ListFlavors(
            request, timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(400, f"marker [{request.marker}] not found") from None
    return answer


def _visibility(call: ComputeRequest) -> int:
    text = call.last("is_public")
    if text is None or not call.context.is_admin:
        return _PUBLIC
    if text.lower() == "none":
        return _ALL
    parsed = p.parse_bool(text)
    if parsed is None:
        raise HttpError(400, f"Invalid is_public filter [{text}]")
    return _PUBLIC if parsed else _PRIVATE


def _least(call: ComputeRequest, name: str) -> int:
    text = call.last(name)
    if text is None:
        return 0
    try:
        return int(text)
    except ValueError:
        raise HttpError(400, f"Invalid {name} filter [{text}]") from None


async def show(call: ComputeRequest) -> object:
    """GET /flavors/{id}."""
    return {"flavor": FlavorView(call).show(await find(call, call.path["id"]))}


async def create(call: ComputeRequest) -> object:
    """POST /flavors."""
    given = call.body["flavor"]
    flavor_id = given.get("id")
    flavor = Flavor(
        id="" if flavor_id in (None, "auto") else str(flavor_id),
        name=given["name"],
        description=given.get("description") or "",
        vcpus=int(given["vcpus"]),
        memory_mb=int(given["ram"]),
        root_gb=int(given["disk"]),
        ephemeral_gb=int(given.get("OS-FLV-EXT-DATA:ephemeral", 0)),
        swap_mb=int(given.get("swap", 0)),
        rxtx_factor=float(given.get("rxtx_factor", 1.0)),
        is_public=p.as_bool(given.get("os-flavor-access:is_public", True)),
    )
    try:
        answer = await call.state.flavors.CreateFlavor(
            CreateFlavorRequest(request_id=call.context.request_id, flavor=flavor), timeout=call.state.timeout
        )
    except AlreadyExistsError as failure:
        raise HttpError(409, failure.message) from None
    return {"flavor": FlavorView(call).show(answer.flavor)}


async def update(call: ComputeRequest) -> object:
    """PUT /flavors/{id}: its description."""
    flavor_id = call.path["id"]
    description = call.body["flavor"]["description"] or ""
    try:
        answer = await call.state.flavors.UpdateFlavor(
            UpdateFlavorRequest(
                flavor=Flavor(id=flavor_id, description=description), update_mask=["description"]
            ),
            timeout=call.state.timeout,
        )
    except NotFoundError:
        raise _missing(flavor_id) from None
    return {"flavor": FlavorView(call).show(answer.flavor)}


async def delete(call: ComputeRequest) -> None:
    """DELETE /flavors/{id}."""
    flavor_id = call.path["id"]
    try:
        await call.state.flavors.DeleteFlavor(DeleteFlavorRequest(id=flavor_id), timeout=call.state.timeout)
    except NotFoundError:
        raise _missing(flavor_id) from None


async def access(call: ComputeRequest) -> object:
    """GET os-flavor-access: the projects that may use it."""
    flavor = await find(call, call.path["flavor_id"])
    if flavor.is_public:
        raise HttpError(404, "Access list not available for public flavors.")
    answer = await call.state.flavors.ListFlavorAccess(
        ListFlavorAccessRequest(flavor_id=flavor.id), timeout=call.state.timeout
    )
    return _access(flavor.id, answer.project_ids)


async def add_access(call: ComputeRequest) -> object:
    """addTenantAccess."""
    project_id = call.body["addTenantAccess"]["tenant"]
    flavor = await find(call, call.path["id"])
    if flavor.is_public and call.minor >= 7:
        raise HttpError(409, "Can not add access to a public flavor.")
    try:
        answer = await call.state.flavors.AddFlavorAccess(
            AddFlavorAccessRequest(flavor_id=flavor.id, project_id=project_id), timeout=call.state.timeout
        )
    except AlreadyExistsError:
        raise HttpError(
            409, f"Flavor access already exists for flavor {flavor.id} and project {project_id} combination."
        ) from None
    return _access(flavor.id, answer.project_ids)


async def remove_access(call: ComputeRequest) -> object:
    """removeTenantAccess."""
    project_id = call.body["removeTenantAccess"]["tenant"]
    flavor = await find(call, call.path["id"])
    try:
        answer = await call.state.flavors.RemoveFlavorAccess(
            RemoveFlavorAccessRequest(flavor_id=flavor.id, project_id=project_id), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, f"Flavor access not found for {flavor.id} / {project_id} combination.") from None
    return _access(flavor.id, answer.project_ids)


def _access(flavor_id: str, project_ids: object) -> object:
    assert not isinstance(project_ids, str)
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": one} for one in project_ids]}  # type: ignore[attr-defined]


_FACTOR: Schema = {
    "type": ["number", "string"],
    "exclusiveMinimum": 0,
    "maximum": 3.40282e38,
    "maxLength": 30,
    "pattern": r"^[0-9]+(\.[0-9]+)?$",
}
_ID: Schema = {
    "type": ["string", "number", "null"],
    "minLength": 1,
    "maxLength": 255,
    **worded_pattern(
        "^[a-zA-Z0-9._-]([a-zA-Z0-9. _-]*[a-zA-Z0-9._-])?$",
        "letters, digits, dots, spaces, hyphens, underscores.",
    ),
}
_CREATE_FIRST: dict[str, Schema] = {
    "name": p.NAME,
    "id": _ID,
    "ram": p.POSITIVE,
    "vcpus": p.POSITIVE,
    "disk": p.NON_NEGATIVE,
    "OS-FLV-EXT-DATA:ephemeral": p.NON_NEGATIVE,
    "swap": p.NON_NEGATIVE,
    "rxtx_factor": _FACTOR,
    "os-flavor-access:is_public": p.BOOLEAN,
}
_CREATE_55 = {**_CREATE_FIRST, "description": p.LONG_DESCRIPTION}
_CREATE_102 = {name: schema for name, schema in _CREATE_55.items() if name != "rxtx_factor"}
_REQUIRED = ("name", "ram", "vcpus", "disk")
CREATE = tuple(
    (first, p.wrapped("flavor", p.record(fields, _REQUIRED)))
    for first, fields in ((1, _CREATE_FIRST), (55, _CREATE_55), (102, _CREATE_102))
)
UPDATE = ((55, p.wrapped("flavor", p.record({"description": p.LONG_DESCRIPTION}, ("description",)))),)

_LIST: dict[str, Schema] = {
    **p.PAGING,
    "is_public": p.ANY_TEXT,
    "minRam": p.ANY_TEXT,
    "minDisk": p.ANY_TEXT,
    "sort_key": p.values({"type": "string", "enum": list(_SORT_FIELDS)}),
    "sort_dir": p.values({"type": "string", "enum": ["asc", "desc"]}),
}
_LIST_102 = {
    **_LIST,
    "name": p.ANY_TEXT,
    "sort_key": p.values({"type": "string", "enum": [key for key in _SORT_FIELDS if key != "rxtx_factor"]}),
}
LIST = ((1, p.query(_LIST)), (75, p.query(_LIST, strict=True)), (102, p.query(_LIST_102, strict=True)))


def _access_action(name: str, rule: str, handler: Handler) -> Route:
    tenant = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9-]*$"}
    body = p.wrapped(name, p.record({"tenant": tenant}, ("tenant",)))
    return Route(
        "POST",
        "/flavors/{id}/action",
        f"os_compute_api:os-flavor-access:{rule}",
        handler,
        body=((1, body),),
        action=name,
    )


_FLAVORS = "os_compute_api:flavors"
_MANAGE = "os_compute_api:os-flavor-manage:"

ROUTES = (
    Route("GET", "/flavors", _FLAVORS, index, query=LIST),
    Route("GET", "/flavors/detail", _FLAVORS, detail, query=LIST),
    Route("GET", "/flavors/{id}", _FLAVORS, show),
    Route("POST", "/flavors", _MANAGE + "create", create, body=CREATE),
    Route("PUT", "/flavors/{id}", _MANAGE + "update", update, body=UPDATE, first=55),
    Route("DELETE", "/flavors/{id}", _MANAGE + "delete", delete, status=202),
    Route("GET", "/flavors/{flavor_id}/os-flavor-access", "os_compute_api:os-flavor-access", access),
    _access_action("addTenantAccess", "add_tenant_access", add_access),
    _access_action("removeTenantAccess", "remove_tenant_access", remove_access),
)

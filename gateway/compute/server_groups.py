"""Server groups: instances that are to run together, or apart."""

from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views.links import page_limit
from gateway.faults import HttpError
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.conductor.v1.server_group_service_pb2 import (
    CreateServerGroupRequest,
    DeleteServerGroupRequest,
    GetServerGroupRequest,
    ListServerGroupsRequest,
)
from novamesh.failures import InvalidArgumentError, NotFoundError, QuotaExceededError
from novamesh.types.v1.server_group_pb2 import ServerGroup

_RULE = "os_compute_api:os-server-groups:"
_LIMIT = "max_server_per_host"


def _policies(group: ServerGroup) -> list[str]:
    return [group.policy]


def _rules(group: ServerGroup) -> dict[str, int]:
    return {_LIMIT: group.max_server_per_host} if group.max_server_per_host else {}


# (field, its value, first and last microversion that have it)
FIELDS: tuple[tuple[str, Any, int, int], ...] = (
    ("id", lambda group: group.id, 1, 1000),
    ("name", lambda group: group.name, 1, 1000),
    ("policies", _policies, 1, 63),
    ("policy", lambda group: group.policy, 64, 1000),
    ("rules", _rules, 64, 1000),
    ("members", lambda group: list(group.members), 1, 1000),
    ("metadata", lambda group: {}, 1, 63),
    ("project_id", lambda group: group.project_id, 13, 1000),
    ("user_id", lambda group: group.user_id, 13, 1000),
)


def _show(call: ComputeRequest, group: ServerGroup) -> dict[str, Any]:
    return {name: value(group) for name, value, first, last in FIELDS if first <= call.minor <= last}


async def index(call: ComputeRequest) -> object:
    """GET /os-server-groups."""
    project_id = call.context.project_id
    if "all_projects" in call.query and call.context.is_admin:
        call.require(_RULE + "index:all_projects")
        project_id = ""
    # Here, as upstream, a limit of 0 is none.
    limit = page_limit(call) or call.state.options.max_limit
    answer = await call.state.server_groups.ListServerGroups(
        ListServerGroupsRequest(
            project_id=project_id, page_size=limit, offset=int(call.last("offset") or "0")
        ),
        timeout=call.state.timeout,
    )
    return {"server_groups": [_show(call, group) for group in answer.server_groups]}


async def show(call: ComputeRequest) -> object:
    """GET /os-server-groups/{id}."""
    return {"server_group": _show(call, await _find(call, "show"))}


async def _find(call: ComputeRequest, action: str) -> ServerGroup:
    """The group that the path names; what the caller may do with another project's is for policy to say."""
    group_id = call.path["id"]
    try:
        answer = await call.state.server_groups.GetServerGroup(
            GetServerGroupRequest(id=group_id), timeout=call.state.timeout
        )
    except NotFoundError as failure:
        raise HttpError(404, failure.message) from None
    call.require(_RULE + action, project_id=answer.server_group.project_id)
    return answer.server_group


async def create(call: ComputeRequest) -> object:
    """POST /os-server-groups."""
    given = call.body["server_group"]
    policy = given["policy"] if "policy" in given else given["policies"][0]
    rules = given.get("rules", {})
    if rules and policy != "anti-affinity":
        raise HttpError(400, "Only anti-affinity policy supports rules.")
    wanted = ServerGroup(name=given["name"], policy=policy, max_server_per_host=int(rules.get(_LIMIT, 0)))
    try:
        answer = await call.state.server_groups.CreateServerGroup(
            CreateServerGroupRequest(server_group=wanted), timeout=call.state.timeout
        )
    except QuotaExceededError:
        raise HttpError(403, "Quota exceeded, too many server groups.") from None
    except InvalidArgumentError as failure:
        raise HttpError(400, failure.message) from None
    return {"server_group": _show(call, answer.server_group)}


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-server-groups/{id}."""
    group = await _find(call, "delete")
    try:
        await call.state.server_groups.DeleteServerGroup(
            DeleteServerGroupRequest(id=group.id), timeout=call.state.timeout
        )
    except NotFoundError as failure:
        raise HttpError(404, failure.message) from None


_HARD = ["anti-affinity", "affinity"]
_ALL = [*_HARD, "soft-anti-affinity", "soft-affinity"]


def _with_policies(policies: list[str]) -> Schema:
    listed: Schema = {
        "type": "array",
        "items": {"type": "string", "enum": policies},
        "minItems": 1,
        "maxItems": 1,
    }
    return p.wrapped("server_group", p.record({"name": p.NAME, "policies": listed}, ("name", "policies")))


_WITH_POLICY = p.record(
    {
        "name": p.NAME,
        "policy": {"type": "string", "enum": _ALL},
        "rules": p.record({_LIMIT: p.POSITIVE}),
    },
    ("name", "policy"),
)
CREATE = (
    (1, _with_policies(_HARD)),
    (15, _with_policies(_ALL)),
    (64, p.wrapped("server_group", _WITH_POLICY)),
)
_LIST: dict[str, Schema] = {"all_projects": p.ANY_TEXT, "limit": p.LIMIT, "offset": p.LIMIT}
_PATH = "/os-server-groups"

ROUTES = (
    Route(
        "GET", _PATH, _RULE + "index", index, query=((1, p.query(_LIST)), (75, p.query(_LIST, strict=True)))
    ),
    Route("POST", _PATH, _RULE + "create", create, body=CREATE),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
    Route("DELETE", _PATH + "/{id}", _RULE + "delete", delete, status=204),
)

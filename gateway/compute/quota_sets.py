"""Quotas of a project, or of one user in it."""

from collections.abc import Iterable
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.quota_names import RESOURCES, by_name, shown_at
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.quota_service_pb2 import (
    DeleteQuotasRequest,
    GetDefaultQuotasRequest,
    GetQuotasRequest,
    Quota,
    UpdateQuotasRequest,
)
from novamesh.failures import InvalidArgumentError

_RULE = "os_compute_api:os-quota-sets:"


def _limits(call: ComputeRequest, quotas: Iterable[Quota]) -> dict[str, Any]:
    known = by_name(list(quotas))
    return {one.name: known[one.name].limit for one in shown_at(call.minor) if one.name in known}


async def show(call: ComputeRequest) -> object:
    """GET /os-quota-sets/{project}."""
    project_id = call.path["id"]
    call.require(_RULE + "show", project_id=project_id)
    answer = await call.state.quotas.GetQuotas(
        GetQuotasRequest(project_id=project_id, user_id=call.first("user_id") or ""),
        timeout=call.state.timeout,
    )
    return {"quota_set": {"id": project_id, **_limits(call, answer.quotas)}}


async def detail(call: ComputeRequest) -> object:
    """GET /os-quota-sets/{project}/detail: with what is in use."""
    project_id = call.path["id"]
    call.require(_RULE + "detail", project_id=project_id)
    answer = await call.state.quotas.GetQuotas(
        GetQuotasRequest(project_id=project_id, user_id=call.first("user_id") or "", with_usage=True),
        timeout=call.state.timeout,
    )
    known = by_name(list(answer.quotas))
    shown: dict[str, Any] = {"id": project_id}
    for resource in shown_at(call.minor):
        quota = known.get(resource.name)
        if quota is not None:
            # Nothing is reserved: what is used and what is accepted are counted as one.
            shown[resource.name] = {"limit": quota.limit, "in_use": quota.in_use, "reserved": 0}
    return {"quota_set": shown}


async def defaults(call: ComputeRequest) -> object:
    """GET /os-quota-sets/{project}/defaults."""
    answer = await call.state.quotas.GetDefaultQuotas(GetDefaultQuotasRequest(), timeout=call.state.timeout)
    return {"quota_set": {"id": call.path["id"], **_limits(call, answer.quotas)}}


async def update(call: ComputeRequest) -> object:
    """PUT /os-quota-sets/{project}."""
    given = call.body["quota_set"]
    request = UpdateQuotasRequest(
        project_id=call.path["id"],
        user_id=call.first("user_id") or "",
        force=p.as_bool(given.get("force", False)),
    )
    for name, value in given.items():
        if name != "force":
            request.limits[name] = int(value)
    try:
        answer = await call.state.quotas.UpdateQuotas(request, timeout=call.state.timeout)
    except InvalidArgumentError as failure:
        raise HttpError(400, failure.message) from None
    return {"quota_set": _limits(call, answer.quotas)}


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-quota-sets/{project}: back to the defaults."""
    await call.state.quotas.DeleteQuotas(
        DeleteQuotasRequest(project_id=call.path["id"], user_id=call.first("user_id") or ""),
        timeout=call.state.timeout,
    )


def _update(minor: int) -> dict[str, Any]:
    fields = {one.name: p.QUOTA for one in RESOURCES if minor <= one.last}
    return p.wrapped("quota_set", p.record({**fields, "force": p.BOOLEAN}))


_USER = {"user_id": p.ANY_TEXT}
_QUERY = ((1, p.query(_USER)), (75, p.query(_USER, strict=True)))
_PATH = "/os-quota-sets/{id}"

ROUTES = (
    Route("GET", _PATH, _RULE + "show", show, query=_QUERY),
    Route("GET", _PATH + "/detail", _RULE + "detail", detail, query=_QUERY),
    Route("GET", _PATH + "/defaults", _RULE + "defaults", defaults),
    Route(
        "PUT",
        _PATH,
        _RULE + "update",
        update,
        body=tuple((first, _update(first)) for first in (1, 36, 57)),
        query=_QUERY,
    ),
    Route("DELETE", _PATH, _RULE + "delete", delete, status=202, query=_QUERY),
)

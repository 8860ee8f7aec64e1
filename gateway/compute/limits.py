"""Limits: what a project may have and what it has, as the oldest of clients ask for it."""

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.quota_names import by_name, shown_at
from gateway.routes import Route
from novamesh.conductor.v1.quota_service_pb2 import GetQuotasRequest


async def index(call: ComputeRequest) -> object:
    """GET /limits."""
    project_id = call.context.project_id
    wanted = call.last("tenant_id")
    if wanted is not None:
        call.require("os_compute_api:limits:other_project")
        project_id = wanted
    answer = await call.state.quotas.GetQuotas(
        GetQuotasRequest(project_id=project_id, with_usage=True), timeout=call.state.timeout
    )
    quotas = by_name(list(answer.quotas))
    absolute: dict[str, int] = {}
    for resource in shown_at(call.minor):
        quota = quotas.get(resource.name)
        if quota is None:
            continue
        for name, last in resource.limits:
            if call.minor <= last:
                absolute[name] = quota.limit
        if resource.used:
            absolute[resource.used] = quota.in_use
    return {"limits": {"rate": [], "absolute": absolute}}


_QUERY = {"tenant_id": p.ANY_TEXT}

ROUTES = (
    Route(
        "GET",
        "/limits",
        "os_compute_api:limits",
        index,
        query=((1, p.query(_QUERY)), (75, p.query(_QUERY, strict=True))),
    ),
)

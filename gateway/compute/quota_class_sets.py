"""Quota classes: the limits of `default` hold for every project that has none of its own."""

from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.quota_names import RESOURCES, by_name
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.quota_service_pb2 import GetQuotaClassRequest, Quota, UpdateQuotaClassRequest
from novamesh.failures import InvalidArgumentError

_RULE = "os_compute_api:os-quota-class-sets:"
_NETWORK = frozenset({"fixed_ips", "floating_ips", "security_groups", "security_group_rules", "networks"})
_GROUPS = frozenset({"server_groups", "server_group_members"})
_FILES = frozenset({"injected_files", "injected_file_content_bytes", "injected_file_path_bytes"})
# (first microversion, resources that it does not show); each row holds until the next one begins.
_HIDDEN = ((1, _GROUPS), (50, _NETWORK), (57, _NETWORK | _FILES))


def _shown(call: ComputeRequest, quotas: list[Quota]) -> dict[str, Any]:
    known = by_name(quotas)
    hidden = [names for first, names in _HIDDEN if first <= call.minor][-1]
    return {
        one.name: known[one.name].limit for one in RESOURCES if one.name in known and one.name not in hidden
    }


async def show(call: ComputeRequest) -> object:
    """GET /os-quota-class-sets/{id}."""
    name = call.path["id"]
    answer = await call.state.quotas.GetQuotaClass(
        GetQuotaClassRequest(name=name), timeout=call.state.timeout
    )
    return {"quota_class_set": {"id": name, **_shown(call, list(answer.quotas))}}


async def update(call: ComputeRequest) -> object:
    """PUT /os-quota-class-sets/{id}."""
    name = call.path["id"]
    if len(name) > 255:
        raise HttpError(400, "The name of a quota class has at most 255 characters.")
    request = UpdateQuotaClassRequest(name=name)
    for resource, limit in call.body["quota_class_set"].items():
        request.limits[resource] = int(limit)
    try:
        answer = await call.state.quotas.UpdateQuotaClass(request, timeout=call.state.timeout)
    except InvalidArgumentError as failure:
        raise HttpError(400, failure.message) from None
    return {"quota_class_set": _shown(call, list(answer.quotas))}


def _update(gone: frozenset[str]) -> dict[str, Any]:
    fields = {one.name: p.QUOTA for one in RESOURCES if one.name not in gone}
    return p.wrapped("quota_class_set", p.record(fields))


_PATH = "/os-quota-class-sets/{id}"

ROUTES = (
    Route("GET", _PATH, _RULE + "show", show),
    Route(
        "PUT",
        _PATH,
        _RULE + "update",
        update,
        body=((1, _update(frozenset())), (50, _update(_NETWORK)), (57, _update(_NETWORK | _FILES))),
    ),
)

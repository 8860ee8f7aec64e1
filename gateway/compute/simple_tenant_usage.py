"""What projects used between two moments."""

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.compute import parameters as p
from gateway.compute import states
from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.compute.views.links import Links, next_links, page_limit
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.usage_service_pb2 import (
    InstanceUsage,
    ListUsagesRequest,
    ListUsagesResponse,
    ProjectUsage,
)
from novamesh.failures import NotFoundError

_RULE = "os_compute_api:os-simple-tenant-usage:"
_HOUR = 3600.0
_PAGED = 40
_FORMATS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%d %H:%M:%S.%f")


def _moment(text: str | None, now: datetime) -> Timestamp:
    moment = now
    if text:
        for form in _FORMATS:
            try:
                moment = datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                continue
            break
        else:
            raise HttpError(400, f"Invalid datetime string: {text}. Datetime is in invalid format")
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp


def _request(call: ComputeRequest, project_id: str, *, detailed: bool) -> ListUsagesRequest:
    now = datetime.now(UTC)
    request = ListUsagesRequest(
        start=_moment(call.first("start"), now),
        end=_moment(call.first("end"), now),
        project_id=project_id,
        detailed=detailed,
    )
    start, end = request.start.ToDatetime(), request.end.ToDatetime()
    # Without a start there is nothing between now and now.
    if end < start or (end == start and call.first("start")):
        raise HttpError(400, "Invalid start time. The start time cannot occur after the end time.")
    if call.minor >= _PAGED:
        request.page_size = page_limit(call)
        request.marker = call.last("marker") or ""
    return request


async def _usages(call: ComputeRequest, request: ListUsagesRequest) -> ListUsagesResponse:
    if call.minor >= _PAGED and request.page_size == 0:
        return ListUsagesResponse()
    try:
        answer: ListUsagesResponse = await call.state.usages.ListUsages(request, timeout=call.state.timeout)
    except NotFoundError:
        raise HttpError(400, f"marker [{request.marker}] not found") from None
    return answer


def _links(call: ComputeRequest, answer: ListUsagesResponse) -> Links:
    """A page is over instances, so it is their number that says whether there may be more."""
    if call.minor < _PAGED:
        return []
    return next_links(call, range(answer.instance_count), answer.last_instance_id)


def _show(usage: ProjectUsage, request: ListUsagesRequest) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tenant_id": usage.project_id,
        "total_local_gb_usage": usage.local_gb_seconds / _HOUR,
        "total_vcpus_usage": usage.vcpu_seconds / _HOUR,
        "total_memory_mb_usage": usage.memory_mb_seconds / _HOUR,
        "total_hours": usage.seconds / _HOUR,
        "start": times.microseconds(request.start),
        "stop": times.microseconds(request.end),
    }
    if request.detailed:
        now = datetime.now(UTC).replace(tzinfo=None)
        shown["server_usages"] = [_server(one, usage.project_id, now) for one in usage.instances]
    return shown


def _server(usage: InstanceUsage, project_id: str, now: datetime) -> dict[str, Any]:
    gone = usage.HasField("ended_at")
    until = usage.ended_at.ToDatetime() if gone else now
    return {
        "instance_id": usage.instance_id,
        "name": usage.name,
        "hours": usage.seconds / _HOUR,
        "flavor": usage.flavor_name,
        "vcpus": usage.vcpus,
        "memory_mb": usage.memory_mb,
        "local_gb": usage.local_gb,
        "tenant_id": project_id,
        "started_at": times.microseconds(usage.started_at),
        "ended_at": times.microseconds(usage.ended_at) if gone else None,
        "state": "terminated" if gone else states.VM_STATES.get(usage.vm_state),
        "uptime": int((until - usage.started_at.ToDatetime()).total_seconds()),
    }


async def index(call: ComputeRequest) -> object:
    """GET /os-simple-tenant-usage."""
    # Nova hears 1 alone; openstacksdk says True.
    request = _request(call, "", detailed=call.first("detailed") in ("1", "True", "true"))
    answer = await _usages(call, request)
    page: dict[str, object] = {"tenant_usages": [_show(usage, request) for usage in answer.usages]}
    if links := _links(call, answer):
        page["tenant_usages_links"] = links
    return page


async def show(call: ComputeRequest) -> object:
    """GET /os-simple-tenant-usage/{id}."""
    project_id = call.path["id"]
    call.require(_RULE + "show", project_id=project_id)
    request = _request(call, project_id, detailed=True)
    answer = await _usages(call, request)
    page: dict[str, object] = {"tenant_usage": _show(answer.usages[0], request) if answer.usages else {}}
    if links := _links(call, answer):
        page["tenant_usage_links"] = links
    return page


_SHOW = {"start": p.ANY_TEXT, "end": p.ANY_TEXT}
_INDEX = {**_SHOW, "detailed": p.ANY_TEXT}
_PATH = "/os-simple-tenant-usage"

ROUTES = (
    Route(
        "GET",
        _PATH,
        _RULE + "list",
        index,
        query=(
            (1, p.query(_INDEX)),
            (40, p.query({**_INDEX, **p.PAGING})),
            (75, p.query({**_INDEX, **p.PAGING}, strict=True)),
        ),
    ),
    Route(
        "GET",
        _PATH + "/{id}",
        _RULE + "show",
        show,
        query=(
            (1, p.query(_SHOW)),
            (40, p.query({**_SHOW, **p.PAGING})),
            (75, p.query({**_SHOW, **p.PAGING}, strict=True)),
        ),
    ),
)

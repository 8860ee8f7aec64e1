"""os-services: what runs where. Compute hosts are the ones that can be enabled, disabled and forced down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.host_directory import service_number
from gateway.compute.views import times
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import FORMATS, Schema
from novamesh.conductor.v1.host_service_pb2 import DeleteHostRequest, UpdateHostRequest
from novamesh.conductor.v1.node_service_pb2 import DeleteNodeRequest, ListNodesRequest
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.host_pb2 import Host

_RULE = "os_compute_api:os-services:"
COMPUTE = "nova-compute"
# Roles that os-services shows; the REST servers never were among them.
_BINARIES = {
    "conductor": "nova-conductor",
    "scheduler": "nova-scheduler",
    "network": "nova-network",
    "cert": "nova-cert",
    "consoleauth": "nova-consoleauth",
}


@dataclass(frozen=True, slots=True)
class Service:
    """A row of os-services."""

    id: str
    number: int
    binary: str
    host: str
    zone: str
    up: bool
    enabled: bool = True
    disabled_reason: str = ""
    forced_down: bool = False
    reported_at: Timestamp | None = None


def _of_host(host: Host) -> Service:
    return Service(
        id=host.id,
        number=service_number(host),
        binary=COMPUTE,
        host=host.name,
        zone=host.availability_zone,
        up=host.up and not host.forced_down,
        enabled=host.enabled,
        disabled_reason=host.disabled_reason,
        forced_down=host.forced_down,
        reported_at=host.reported_at if host.HasField("reported_at") else None,
    )


async def find_services(call: ComputeRequest) -> list[Service]:
    """All that os-services shows: compute hosts first."""
    state = call.state
    hosts, nodes = await asyncio.gather(
        state.hosts.all(fresh=True), state.nodes.ListNodes(ListNodesRequest(), timeout=state.timeout)
    )
    found = [_of_host(host) for host in hosts.values()]
    found += [
        Service(
            id=node.id,
            number=2 * node.number,
            binary=_BINARIES[node.role],
            host=node.host,
            zone=state.options.internal_service_availability_zone,
            up=node.up,
            reported_at=node.reported_at if node.HasField("reported_at") else None,
        )
        for node in nodes.nodes
        if node.role in _BINARIES
    ]
    return found


def _updated_at(service: Service) -> str | None:
    return times.microseconds(service.reported_at) if service.reported_at is not None else None


# (field, its value, first and last microversion that have it)
FIELDS: tuple[tuple[str, Callable[[Service], Any], int, int], ...] = (
    ("binary", lambda service: service.binary, 1, 1000),
    ("host", lambda service: service.host, 1, 1000),
    ("id", lambda service: service.number, 1, 52),
    ("id", lambda service: service.id, 53, 1000),
    ("zone", lambda service: service.zone, 1, 1000),
    ("status", lambda service: "enabled" if service.enabled else "disabled", 1, 1000),
    ("state", lambda service: "up" if service.up else "down", 1, 1000),
    ("updated_at", _updated_at, 1, 1000),
    ("disabled_reason", lambda service: service.disabled_reason or None, 1, 1000),
    ("forced_down", lambda service: service.forced_down, 11, 1000),
)


def _view(call: ComputeRequest, service: Service) -> dict[str, Any]:
    return {name: value(service) for name, value, first, last in FIELDS if first <= call.minor <= last}


async def index(call: ComputeRequest) -> object:
    """GET /os-services."""
    host, binary = call.last("host"), call.last("binary")
    return {
        "services": [
            _view(call, service)
            for service in await find_services(call)
            if (not host or service.host == host) and (not binary or service.binary == binary)
        ]
    }


async def _set(call: ComputeRequest, host: Host, fields: tuple[str, ...]) -> Host:
    try:
        answer = await call.state.host_records.UpdateHost(
            UpdateHostRequest(host=host, update_mask=fields), timeout=call.state.timeout
        )
    except NotFoundError:
        raise _no_binary(COMPUTE, host.name) from None
    await call.state.hosts.all(fresh=True)
    return answer.host


def _no_binary(binary: str, host: str) -> HttpError:
    return HttpError(404, f"Could not find binary {binary} on host {host}.")


def _not_updated(binary: str) -> HttpError:
    return HttpError(
        400, f"Updating a {binary} service is not supported. Only {COMPUTE} services can be updated."
    )


async def _named_host(call: ComputeRequest) -> str:
    """The host in the body. Raises HttpError 404 for a service that is not there, 400 for one that no update
    is for."""
    binary, host = str(call.body["binary"]), str(call.body["host"])
    if binary != COMPUTE:
        known = {(service.binary, service.host) for service in await find_services(call)}
        raise _not_updated(binary) if (binary, host) in known else _no_binary(binary, host)
    return host


async def enable(call: ComputeRequest) -> object:
    """PUT /os-services/enable, up to 2.52."""
    host = await _named_host(call)
    await _set(call, Host(name=host, enabled=True), ("enabled", "disabled_reason"))
    return {"service": {"host": host, "binary": COMPUTE, "status": "enabled"}}


async def disable(call: ComputeRequest) -> object:
    """PUT /os-services/disable, up to 2.52."""
    host = await _named_host(call)
    await _set(call, Host(name=host, enabled=False), ("enabled", "disabled_reason"))
    return {"service": {"host": host, "binary": COMPUTE, "status": "disabled"}}


async def disable_with_reason(call: ComputeRequest) -> object:
    """PUT /os-services/disable-log-reason, up to 2.52."""
    host = await _named_host(call)
    reason = call.body.get("disabled_reason")
    if reason is None:
        raise HttpError(400, "Missing disabled reason field")
    await _set(call, Host(name=host, enabled=False, disabled_reason=reason), ("enabled", "disabled_reason"))
    shown = {"host": host, "binary": COMPUTE, "status": "disabled", "disabled_reason": reason}
    return {"service": shown}


async def force_down(call: ComputeRequest) -> object:
    """PUT /os-services/force-down, 2.11 to 2.52."""
    host = await _named_host(call)
    if "forced_down" not in call.body:
        raise HttpError(400, "Missing forced_down field")
    forced = p.as_bool(call.body["forced_down"])
    await _set(call, Host(name=host, forced_down=forced), ("forced_down",))
    return {"service": {"host": host, "binary": COMPUTE, "forced_down": forced}}


async def update(call: ComputeRequest) -> object:
    """PUT /os-services/{id}, from 2.53 on."""
    service = await _find(call)
    if service.binary != COMPUTE:
        raise _not_updated(service.binary)
    given = call.body
    wanted = Host(name=service.host)
    fields: list[str] = []
    status, reason = given.get("status"), given.get("disabled_reason")
    if status is None and reason is not None:
        raise HttpError(400, "Specifying disabled_reason requires status to be disabled.")
    if status == "enabled" and reason is not None:
        raise HttpError(400, "Specifying disabled_reason when status is enabled is invalid.")
    if status is not None:
        wanted.enabled = status == "enabled"
        wanted.disabled_reason = reason or ""
        fields += ["enabled", "disabled_reason"]
    if "forced_down" in given:
        wanted.forced_down = p.as_bool(given["forced_down"])
        fields.append("forced_down")
    if not fields:
        raise HttpError(400, "No updates were requested. Fields status or forced_down should be specified.")
    host = await _set(call, wanted, tuple(fields))
    return {"service": _view(call, _of_host(host))}


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-services/{id}."""
    service = await _find(call)
    state = call.state
    try:
        if service.binary == COMPUTE:
            await state.host_records.DeleteHost(DeleteHostRequest(name=service.host), timeout=state.timeout)
        else:
            await state.nodes.DeleteNode(DeleteNodeRequest(id=service.id), timeout=state.timeout)
    except NotFoundError:
        raise _missing(call.path["id"]) from None
    except InvalidArgumentError:
        raise HttpError(
            409,
            "Unable to delete compute service that is hosting instances. "
            "Migrate or delete the instances first.",
        ) from None


async def _find(call: ComputeRequest) -> Service:
    wanted = call.path["id"]
    if call.minor >= 53:
        if not FORMATS["uuid"](wanted):
            raise HttpError(400, f"Invalid uuid {wanted}")
    elif not wanted.isdigit():
        raise HttpError(400, f"Invalid input received: id must be an integer: {wanted}")
    for service in await find_services(call):
        if wanted == (service.id if call.minor >= 53 else str(service.number)):
            return service
    raise _missing(wanted)


def _missing(service_id: str) -> HttpError:
    return HttpError(404, f"Service {service_id} could not be found.")


_REASON: Schema = {"type": "string", "minLength": 1, "maxLength": 255}
_FIRST: dict[str, Schema] = {
    "host": p.HOST,
    "binary": {"type": "string", "minLength": 1, "maxLength": 255},
    "disabled_reason": _REASON,
}
_BY_NAME = (
    (1, p.record(_FIRST, ("host", "binary"))),
    (11, p.record({**_FIRST, "forced_down": p.BOOLEAN}, ("host", "binary"))),
)
_BY_ID = p.record(
    {
        "status": {"type": "string", "enum": ["enabled", "disabled"]},
        "disabled_reason": _REASON,
        "forced_down": p.BOOLEAN,
    }
)
_LIST = {"host": p.ANY_TEXT, "binary": p.ANY_TEXT}


def _by_name(action: str, handler: Handler, first: int = 1) -> Route:
    path = f"/os-services/{action}"
    return Route("PUT", path, _RULE + "update", handler, body=_BY_NAME, first=first, last=52)


ROUTES = (
    Route(
        "GET",
        "/os-services",
        _RULE + "list",
        index,
        query=((1, p.query(_LIST)), (75, p.query(_LIST, strict=True))),
    ),
    _by_name("enable", enable),
    _by_name("disable", disable),
    _by_name("disable-log-reason", disable_with_reason),
    _by_name("force-down", force_down, first=11),
    Route("PUT", "/os-services/{id}", _RULE + "update", update, body=((53, _BY_ID),), first=53),
    Route("DELETE", "/os-services/{id}", _RULE + "delete", delete, status=204),
)

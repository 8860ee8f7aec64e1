"""os-hosts, up to 2.42: hosts of services, what is taken of a compute host, and what is done to it as a
machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers_of_hosts import instances_on
from gateway.compute.services import find_services
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.compute.v1 import host_service_pb2 as compute
from novamesh.compute.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.host_service_pb2 import UpdateHostRequest
from novamesh.failures import NotSupportedError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance

if TYPE_CHECKING:
    from novamesh.compute.v1.host_service_pb2_grpc import HostServiceAsyncStub

_RULE = "os_compute_api:os-hosts:"
_NOT_SUPPORTED = "The requested functionality is not supported."


async def index(call: ComputeRequest) -> object:
    """GET /os-hosts: a row for each enabled service, of one zone or of one kind where that is asked for."""
    zone, kind = call.last("zone"), call.last("service")
    rows = [
        {"host_name": service.host, "service": service.binary.removeprefix("nova-"), "zone": service.zone}
        for service in await find_services(call)
        if service.enabled
    ]
    return {
        "hosts": [
            row for row in rows if (not zone or row["zone"] == zone) and (not kind or row["service"] == kind)
        ]
    }


async def _find(call: ComputeRequest, words: str) -> Host:
    """The host in the path; HttpError 404 that begins with `words`."""
    name = call.path["id"]
    host = (await call.state.hosts.all(fresh=True)).get(name)
    if host is None:
        raise HttpError(404, f"{words} {name} could not be found.")
    return host


async def show(call: ComputeRequest) -> object:
    """GET /os-hosts/{name}: what the host has, what is taken, and by whom, a row each."""
    host = await _find(call, "Compute host")
    on_it = await instances_on(call, [host.name], brief=False)
    by_project: dict[str, list[Instance]] = {}
    for instance in on_it:
        by_project.setdefault(instance.project_id, []).append(instance)
    has, used = host.inventory, host.usage
    rows = [
        _row(host, "(total)", has.vcpus, has.memory_mb, has.disk_gb),
        _row(host, "(used_now)", used.vcpus, used.memory_mb, used.disk_gb),
        _row(host, "(used_max)", *_sums(on_it)),
        *(_row(host, project, *_sums(theirs)) for project, theirs in by_project.items()),
    ]
    return {"host": [{"resource": row} for row in rows]}


def _sums(instances: Iterable[Instance]) -> tuple[int, int, int]:
    """Virtual CPUs, MiB and GiB of what their flavors promise."""
    flavors = [instance.flavor for instance in instances]
    return (
        sum(flavor.vcpus for flavor in flavors),
        sum(flavor.memory_mb for flavor in flavors),
        sum(flavor.root_gb + flavor.ephemeral_gb for flavor in flavors),
    )


def _row(host: Host, project: str, cpu: int, memory_mb: int, disk_gb: int) -> dict[str, Any]:
    return {"host": host.name, "project": project, "cpu": cpu, "memory_mb": memory_mb, "disk_gb": disk_gb}


async def update(call: ComputeRequest) -> object:
    """PUT /os-hosts/{name}: enable or disable it, put it into maintenance or back to work."""
    host = await _find(call, "Host")
    shown: dict[str, Any] = {"host": host.name}
    status, maintenance = call.body.get("status"), call.body.get("maintenance_mode")
    if status is not None:
        enabled = _is_enable(status)
        await call.state.host_records.UpdateHost(
            UpdateHostRequest(
                host=Host(name=host.name, enabled=enabled), update_mask=("enabled", "disabled_reason")
            ),
            timeout=call.state.timeout,
        )
        await call.state.hosts.all(fresh=True)
        shown["status"] = "enabled" if enabled else "disabled"
    if maintenance is not None:
        on = _is_enable(maintenance)
        request = compute.SetHostMaintenanceRequest(maintenance=on)
        try:
            await _machine(call, host).SetHostMaintenance(request, timeout=call.state.timeout)
        except NotSupportedError:
            raise HttpError(501, _NOT_SUPPORTED) from None
        shown["maintenance_mode"] = "on_maintenance" if on else "off_maintenance"
    return shown


def _is_enable(text: str) -> bool:
    return text.lower() == "enable"


def _machine(call: ComputeRequest, host: Host) -> HostServiceAsyncStub:
    """The host's own account of itself; HttpError 400 when it is down."""
    if not host.up:
        raise HttpError(400, f"Compute service of {host.name} is unavailable at this time.")
    return HostServiceStub(call.state.node.channel_to(host.address, "compute", host.name))


def _power(word: str, action: compute.HostPowerAction.ValueType) -> Handler:
    async def act(call: ComputeRequest) -> object:
        host = await _find(call, "Host")
        request = compute.RunHostPowerActionRequest(action=action)
        try:
            await _machine(call, host).RunHostPowerAction(request, timeout=call.state.timeout)
        except NotSupportedError:
            raise HttpError(501, _NOT_SUPPORTED) from None
        return {"host": host.name, "power_action": word}

    return act


_SWITCH: Schema = {
    "type": "string",
    "enum": ["enable", "disable", "Enable", "Disable", "ENABLE", "DISABLE"],
}
_UPDATE = p.record({"status": _SWITCH, "maintenance_mode": _SWITCH})
_LIST = p.query({"zone": p.ANY_TEXT, "service": p.ANY_TEXT})
_PATH = "/os-hosts"
_LAST = 42

ROUTES = (
    Route("GET", _PATH, _RULE + "list", index, query=((1, _LIST),), last=_LAST),
    Route("GET", _PATH + "/{id}", _RULE + "show", show, last=_LAST),
    Route("PUT", _PATH + "/{id}", _RULE + "update", update, body=((1, _UPDATE),), last=_LAST),
    Route(
        "GET",
        _PATH + "/{id}/reboot",
        _RULE + "reboot",
        _power("reboot", compute.HOST_POWER_ACTION_REBOOT),
        last=_LAST,
    ),
    Route(
        "GET",
        _PATH + "/{id}/shutdown",
        _RULE + "shutdown",
        _power("shutdown", compute.HOST_POWER_ACTION_SHUTDOWN),
        last=_LAST,
    ),
    Route(
        "GET",
        _PATH + "/{id}/startup",
        _RULE + "start",
        _power("startup", compute.HOST_POWER_ACTION_STARTUP),
        last=_LAST,
    ),
)

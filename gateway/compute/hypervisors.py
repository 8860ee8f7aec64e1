"""os-hypervisors: the compute hosts, their sizes and what is claimed on them."""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.host_directory import service_number
from gateway.compute.servers_of_hosts import instances_on
from gateway.compute.views.links import Links, next_links, page_limit
from gateway.compute.views.servers import name_on_host
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import FORMATS, Schema
from novamesh.types.v1.host_pb2 import Host

_RULE = "os_compute_api:os-hypervisors:"
Servers = list[dict[str, str]]
Value = Callable[[Host], Any]


class Field(NamedTuple):
    """A field of a hypervisor and the microversions that have it."""

    name: str
    value: Value
    first: int = 1
    last: int = 1000
    brief: bool = False


def _cpu_info(host: Host) -> Any:
    try:
        return orjson.loads(host.inventory.cpu_info) if host.inventory.cpu_info else {}
    except orjson.JSONDecodeError:
        return {}


def _service(host: Host, host_id: str | int) -> dict[str, Any]:
    return {"id": host_id, "host": host.name, "disabled_reason": host.disabled_reason or None}


FIELDS: tuple[Field, ...] = (
    Field("id", lambda h: h.number, last=52, brief=True),
    Field("id", lambda h: h.id, first=53, brief=True),
    Field("hypervisor_hostname", lambda h: h.inventory.hypervisor_hostname or h.name, brief=True),
    Field("state", lambda h: "up" if h.up and not h.forced_down else "down", brief=True),
    Field("status", lambda h: "enabled" if h.enabled else "disabled", brief=True),
    Field("hypervisor_type", lambda h: h.inventory.hypervisor_type),
    Field("hypervisor_version", lambda h: h.inventory.hypervisor_version),
    Field("host_ip", lambda h: h.inventory.host_ip or None),
    Field("service", lambda h: _service(h, service_number(h)), last=52),
    Field("service", lambda h: _service(h, h.id), first=53),
    Field("vcpus", lambda h: h.inventory.vcpus, last=87),
    Field("vcpus_used", lambda h: h.usage.vcpus, last=87),
    Field("memory_mb", lambda h: h.inventory.memory_mb, last=87),
    Field("memory_mb_used", lambda h: h.usage.memory_mb, last=87),
    Field("free_ram_mb", lambda h: h.inventory.memory_mb - h.usage.memory_mb, last=87),
    Field("local_gb", lambda h: h.inventory.disk_gb, last=87),
    Field("local_gb_used", lambda h: h.usage.disk_gb, last=87),
    Field("free_disk_gb", lambda h: h.inventory.disk_gb - h.usage.disk_gb, last=87),
    Field("disk_available_least", lambda h: h.inventory.disk_available_gb, last=87),
    Field("current_workload", lambda h: h.usage.workload, last=87),
    Field("running_vms", lambda h: h.usage.instances, last=87),
    Field("cpu_info", lambda h: h.inventory.cpu_info, last=27),
    Field("cpu_info", _cpu_info, first=28, last=87),
    Field("uptime", lambda h: (h.inventory.uptime if h.up else "") or None, first=88),
)


@lru_cache(maxsize=512)
def _fields(minor: int, brief: bool) -> tuple[tuple[str, Value], ...]:
    return tuple(
        (field.name, field.value)
        for field in FIELDS
        if field.first <= minor <= field.last and (field.brief or not brief)
    )


def _view(call: ComputeRequest, host: Host, *, brief: bool, servers: Servers | None = None) -> dict[str, Any]:
    shown = {name: value(host) for name, value in _fields(call.minor, brief)}
    # An empty list is shown from 2.75 on.
    if servers or (servers is not None and call.minor >= 75):
        shown["servers"] = servers
    return shown


async def _servers_on(call: ComputeRequest, hosts: Iterable[Host]) -> dict[str, Servers]:
    """The servers of each of these hosts, by the host's name."""
    found: dict[str, Servers] = {host.name: [] for host in hosts}
    for one in await instances_on(call, list(found)):
        found[one.host].append({"name": name_on_host(one), "uuid": one.id})
    return found


def _matching(hosts: Iterable[Host], pattern: str) -> list[Host]:
    found = [host for host in hosts if pattern in (host.inventory.hypervisor_hostname or host.name)]
    if not found:
        raise HttpError(404, f"No hypervisor matching '{pattern}' could be found.")
    return found


class Chosen(NamedTuple):
    """What one list shows."""

    hosts: list[Host]
    links: Links = []
    with_servers: bool = False


def _all(call: ComputeRequest, hosts: list[Host]) -> Chosen:
    return Chosen(hosts)


def _paged(call: ComputeRequest, hosts: list[Host]) -> Chosen:
    marker = call.last("marker")
    if marker:
        ids = [str(_id(call, host)) for host in hosts]
        if marker not in ids:
            raise HttpError(400, f"marker [{marker}] not found")
        hosts = hosts[ids.index(marker) + 1 :]
    page = hosts[: page_limit(call)]
    return Chosen(page, next_links(call, page, str(_id(call, page[-1]))) if page else [])


def _searched(call: ComputeRequest, hosts: list[Host]) -> Chosen:
    pattern = call.last("hypervisor_hostname_pattern")
    if pattern is None:
        chosen = _paged(call, hosts)
    elif "limit" in call.query or "marker" in call.query:
        raise HttpError(
            400,
            "Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.",
        )
    else:
        chosen = Chosen(_matching(hosts, pattern))
    return chosen._replace(with_servers=_wants_servers(call))


def _wants_servers(call: ComputeRequest) -> bool:
    return p.as_bool(call.last("with_servers") or False)


def _listing(choose: Callable[[ComputeRequest, list[Host]], Chosen], *, brief: bool) -> Handler:
    async def listing(call: ComputeRequest) -> object:
        """GET /os-hypervisors and /os-hypervisors/detail."""
        chosen = choose(call, list((await call.state.hosts.all(fresh=True)).values()))
        servers = await _servers_on(call, chosen.hosts) if chosen.with_servers else {}
        shown = [_view(call, host, brief=brief, servers=servers.get(host.name)) for host in chosen.hosts]
        page: dict[str, Any] = {"hypervisors": shown}
        if chosen.links:
            page["hypervisors_links"] = chosen.links
        return page

    return listing


def _id(call: ComputeRequest, host: Host) -> str | int:
    return host.id if call.minor >= 53 else host.number


async def _find(call: ComputeRequest) -> Host:
    wanted = call.path["id"]
    if call.minor >= 53 and not FORMATS["uuid"](wanted):
        raise HttpError(400, f"Invalid uuid {wanted}")
    for host in (await call.state.hosts.all(fresh=True)).values():
        if wanted == str(_id(call, host)):
            return host
    raise HttpError(404, f"Hypervisor with ID '{wanted}' could not be found.")


async def show(call: ComputeRequest) -> object:
    """GET /os-hypervisors/{id}, up to 2.52."""
    return {"hypervisor": _view(call, await _find(call), brief=False)}


async def show_with_servers(call: ComputeRequest) -> object:
    """GET /os-hypervisors/{id}, from 2.53 on, where its servers may be asked for."""
    host = await _find(call)
    servers = await _servers_on(call, [host]) if _wants_servers(call) else {}
    return {"hypervisor": _view(call, host, brief=False, servers=servers.get(host.name))}


async def uptime(call: ComputeRequest) -> object:
    """GET /os-hypervisors/{id}/uptime, up to 2.87."""
    host = await _find(call)
    if not host.up or host.forced_down:
        raise HttpError(400, f"Compute service of {host.name} is unavailable at this time.")
    if not host.inventory.uptime:
        raise HttpError(501, "The requested functionality is not supported.")
    return {"hypervisor": {**_view(call, host, brief=True), "uptime": host.inventory.uptime}}


async def search(call: ComputeRequest) -> object:
    """GET /os-hypervisors/{pattern}/search, up to 2.52."""
    hosts = _matching((await call.state.hosts.all(fresh=True)).values(), call.path["id"])
    return {"hypervisors": [_view(call, host, brief=True) for host in hosts]}


async def servers(call: ComputeRequest) -> object:
    """GET /os-hypervisors/{pattern}/servers, up to 2.52."""
    hosts = _matching((await call.state.hosts.all(fresh=True)).values(), call.path["id"])
    on_them = await _servers_on(call, hosts)
    return {"hypervisors": [_view(call, host, brief=True, servers=on_them[host.name]) for host in hosts]}


# The sums of GET /os-hypervisors/statistics, named as the fields that they add up.
_SUMS = (
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "free_ram_mb",
    "local_gb",
    "local_gb_used",
    "free_disk_gb",
    "disk_available_least",
    "current_workload",
    "running_vms",
)


async def statistics(call: ComputeRequest) -> object:
    """GET /os-hypervisors/statistics, up to 2.87."""
    hosts = [host for host in (await call.state.hosts.all(fresh=True)).values() if host.enabled]
    values = {field.name: field.value for field in FIELDS if field.name in _SUMS}
    sums = {name: sum(values[name](host) for host in hosts) for name in _SUMS}
    return {"hypervisor_statistics": {"count": len(hosts), **sums}}


_TEXT: Schema = {"type": "string"}
_LIST_53 = {
    "limit": p.one(p.LIMIT["items"]),
    "marker": p.one(_TEXT),
    "hypervisor_hostname_pattern": p.one(p.HOST),
    "with_servers": p.one(p.BOOLEAN),
}
_ONE = {"with_servers": p.one(p.BOOLEAN)}
_PATH = "/os-hypervisors"


def _lists(path: str, rule: str, *, brief: bool) -> Iterable[Route]:
    for first, last, choose, query in (
        (1, 32, _all, p.query({})),
        (33, 52, _paged, p.query(p.PAGING)),
        (53, None, _searched, p.query(_LIST_53, strict=True)),
    ):
        handler = _listing(choose, brief=brief)
        yield Route("GET", path, _RULE + rule, handler, query=((first, query),), first=first, last=last)


ROUTES = (
    *_lists(_PATH, "list", brief=True),
    *_lists(_PATH + "/detail", "list-detail", brief=False),
    Route("GET", _PATH + "/statistics", _RULE + "statistics", statistics, last=87),
    Route("GET", _PATH + "/{id}", _RULE + "show", show, last=52),
    Route(
        "GET",
        _PATH + "/{id}",
        _RULE + "show",
        show_with_servers,
        query=((53, p.query(_ONE, strict=True)),),
        first=53,
    ),
    Route("GET", _PATH + "/{id}/uptime", _RULE + "uptime", uptime, last=87),
    Route("GET", _PATH + "/{id}/search", _RULE + "search", search, last=52),
    Route("GET", _PATH + "/{id}/servers", _RULE + "servers", servers, last=52),
)

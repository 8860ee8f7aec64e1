"""Availability zones: names that users choose among, each with compute hosts behind it."""

from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.compute.services import Service, find_services
from gateway.compute.views import times
from gateway.routes import Route

_RULE = "os_compute_api:os-availability-zone:"


def _zone(name: str, hosts: Any = None, *, available: bool = True) -> dict[str, Any]:
    return {"zoneName": name, "zoneState": {"available": available}, "hosts": hosts}


async def index(call: ComputeRequest) -> object:
    """GET /os-availability-zone: the zones of compute hosts; available with a host that is enabled."""
    hosts = list((await call.state.hosts.all(fresh=True)).values())
    open_zones = {host.availability_zone for host in hosts if host.enabled}
    closed = {host.availability_zone for host in hosts} - open_zones
    zones = [_zone(name) for name in sorted(open_zones)]
    return {"availabilityZoneInfo": [*zones, *(_zone(name, available=False) for name in sorted(closed))]}


async def detail(call: ComputeRequest) -> object:
    """GET /os-availability-zone/detail: with hosts and services, and the zone of the cloud's own services."""
    services = await find_services(call)
    zones: dict[str, dict[str, dict[str, Any]]] = {}
    for service in services:
        if service.enabled:
            zones.setdefault(service.zone, {}).setdefault(service.host, {})[service.binary] = _service(
                service
            )
    closed = {service.zone for service in services} - zones.keys()
    open_zones = [_zone(name, hosts) for name, hosts in sorted(zones.items())]
    return {"availabilityZoneInfo": [*open_zones, *(_zone(name, available=False) for name in sorted(closed))]}


def _service(service: Service) -> dict[str, Any]:
    reported = times.microseconds(service.reported_at) if service.reported_at is not None else None
    return {"available": service.up, "active": service.enabled, "updated_at": reported}


ROUTES = (
    Route("GET", "/os-availability-zone", _RULE + "list", index),
    Route("GET", "/os-availability-zone/detail", _RULE + "detail", detail),
)

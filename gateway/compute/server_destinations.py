"""Where a create wants its servers: a zone, and for administrators a host, by the zone's syntax or by fields
of its own."""

from collections.abc import Mapping
from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest
from novamesh.types.v1.host_pb2 import Host


async def put_destination(
    call: ComputeRequest, given: Mapping[str, Any], request: CreateInstancesRequest
) -> None:
    """Write zone and host into the request. Raises HttpError 400 and 403.

    A host in `zone:host:node` is taken without the scheduler; one in `host` or `hypervisor_hostname` (2.74)
    has to pass its filters.
    """
    zone, host, node = _parse(given.get("availability_zone") or "")
    if host or node:
        call.require("os_compute_api:servers:create:forced_host")
    zone = zone or call.state.options.default_schedule_zone
    wanted_host, wanted_node = given.get("host", ""), given.get("hypervisor_hostname", "")
    if wanted_host or wanted_node:
        call.require("compute:servers:create:requested_destination")
        if host or node:
            raise HttpError(
                400,
                "One mechanism with host and/or hypervisor_hostname and another mechanism with "
                "zone:host:node are mutually exclusive.",
            )
    if not (zone or host or node or wanted_host or wanted_node):
        return
    hosts = await call.state.hosts.all()
    if zone:
        if not _is_open(zone, hosts):
            # It may be new.
            hosts = await call.state.hosts.all(fresh=True)
        # Where the host is forced, the zone is not asked.
        if not (host or node or _is_open(zone, hosts)):
            raise HttpError(400, "The requested availability zone is not available")
        request.template.availability_zone = zone
    request.template.forced_host = _named(hosts, host, node)
    request.requested_host = _named(hosts, wanted_host, wanted_node)


def _parse(text: str) -> tuple[str, str, str]:
    """Zone, host and node of `zone:host:node`, any of which may be left out."""
    parts = text.split(":")
    if len(parts) > 3:
        raise HttpError(400, "Invalid input received: Unable to parse availability_zone")
    zone, host, node = [*parts, "", ""][:3]
    return zone, host, node


def _named(hosts: Mapping[str, Host], host: str, node: str) -> str:
    """The host that name and node mean; empty for none."""
    if node and not host:
        host = next(
            (name for name, known in hosts.items() if known.inventory.hypervisor_hostname == node), ""
        )
        if not host:
            raise HttpError(400, f"Compute host {node} could not be found.")
    if host and host not in hosts:
        raise HttpError(400, f"Compute host {host} could not be found.")
    if host and node and hosts[host].inventory.hypervisor_hostname != node:
        raise HttpError(400, f"No hypervisor matching '{node}' could be found on host {host}.")
    return host


def _is_open(zone: str, hosts: Mapping[str, Host]) -> bool:
    """Whether a zone has a host that may be scheduled to."""
    return any(host.enabled and host.availability_zone == zone for host in hosts.values())

"""What the Compute API knows and this cloud does not serve, as data: the status and why.

Two tables. GONE has what Nova itself has removed and answers 410 at every microversion. LACKING has what
needs a part that this cloud has not: the status is Nova's where that part is not set up, else 501.
"""

from collections.abc import Iterable
from typing import NamedTuple

from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route

_RULE = "os_compute_api:unavailable"


class Gone(NamedTuple):
    """Operations that Nova removed, and with which release."""

    what: str
    release: str
    operations: tuple[str, ...]


class Lacking(NamedTuple):
    """Operations that need what this cloud has not, and which microversions know them."""

    status: int
    reason: str
    operations: tuple[str, ...]
    first: int = 1
    last: int | None = None


_SERVER_ACTION = "POST /servers/{id}/action"
_NETWORK_ACTION = "POST /os-networks/{id}/action"
_VOLUMES = "This cloud has no volumes."
_FLOATING = "This cloud has no floating IP addresses."
_GROUPS = "This cloud has no security groups but `default`, which cannot be changed."
_FIXED = "Fixed IP addresses of this cloud come and go with their servers."
_NETWORKS = "The networks of this cloud cannot be administered in this way."
_TENANT_NETWORKS = "Networks of this cloud are made and deleted by its administrators, with os-networks."
_BAREMETAL = "This cloud has no bare metal service."

# The last microversion of Nova's proxies to other services, and of the actions that stood for them.
_PROXIES = 35
_ADDRESS_ACTIONS = 43

GONE = (
    Gone(
        "cells (v1)",
        "20.0.0",
        (
            "GET /os-cells",
            "POST /os-cells",
            "GET /os-cells/detail",
            "GET /os-cells/info",
            "GET /os-cells/capacities",
            "POST /os-cells/sync_instances",
            "GET /os-cells/{id}",
            "PUT /os-cells/{id}",
            "DELETE /os-cells/{id}",
            "GET /os-cells/{id}/capacities",
        ),
    ),
    Gone(
        "builds of the hypervisor agent",
        "22.0.0",
        ("GET /os-agents", "POST /os-agents", "PUT /os-agents/{id}", "DELETE /os-agents/{id}"),
    ),
    Gone("pings of servers", "18.0.0", ("GET /os-fping", "GET /os-fping/{id}")),
    Gone(
        "XVP consoles",
        "20.0.0",
        (
            "GET /servers/{server_id}/consoles",
            "POST /servers/{server_id}/consoles",
            "GET /servers/{server_id}/consoles/{id}",
            "DELETE /servers/{server_id}/consoles/{id}",
        ),
    ),
    Gone(
        "injection of network settings by the hypervisor's agent",
        "23.0.0",
        (f"{_SERVER_ACTION} resetNetwork", f"{_SERVER_ACTION} injectNetworkInfo"),
    ),
)

LACKING = (
    Lacking(
        501,
        _FLOATING,
        (
            "GET /os-floating-ip-pools",
            "GET /os-floating-ips",
            "POST /os-floating-ips",
            "GET /os-floating-ips/{id}",
            "DELETE /os-floating-ips/{id}",
            "GET /os-floating-ips-bulk",
            "POST /os-floating-ips-bulk",
            "GET /os-floating-ips-bulk/{id}",
            "PUT /os-floating-ips-bulk/{id}",
            "GET /os-floating-ip-dns",
            "PUT /os-floating-ip-dns/{id}",
            "DELETE /os-floating-ip-dns/{id}",
            "GET /os-floating-ip-dns/{domain_id}/entries/{id}",
            "PUT /os-floating-ip-dns/{domain_id}/entries/{id}",
            "DELETE /os-floating-ip-dns/{domain_id}/entries/{id}",
        ),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _FLOATING,
        (f"{_SERVER_ACTION} addFloatingIp", f"{_SERVER_ACTION} removeFloatingIp"),
        last=_ADDRESS_ACTIONS,
    ),
    Lacking(
        501,
        _FIXED,
        ("GET /os-fixed-ips/{id}", "POST /os-fixed-ips/{id}/action reserve",
         "POST /os-fixed-ips/{id}/action unreserve"),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _FIXED,
        (f"{_SERVER_ACTION} addFixedIp", f"{_SERVER_ACTION} removeFixedIp"),
        last=_ADDRESS_ACTIONS,
    ),
    Lacking(
        501,
        "Network cards of this cloud come and go with their servers.",
        ("POST /servers/{server_id}/os-interface", "DELETE /servers/{server_id}/os-interface/{id}"),
    ),
    Lacking(
        501,
        _GROUPS,
        (
            "GET /os-security-groups",
            "POST /os-security-groups",
            "GET /os-security-groups/{id}",
            "PUT /os-security-groups/{id}",
            "DELETE /os-security-groups/{id}",
            "POST /os-security-group-rules",
            "DELETE /os-security-group-rules/{id}",
            "GET /os-security-group-default-rules",
            "POST /os-security-group-default-rules",
            "GET /os-security-group-default-rules/{id}",
            "DELETE /os-security-group-default-rules/{id}",
        ),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _GROUPS,
        (
            "GET /servers/{server_id}/os-security-groups",
            f"{_SERVER_ACTION} addSecurityGroup",
            f"{_SERVER_ACTION} removeSecurityGroup",
        ),
    ),
    Lacking(
        501,
        _NETWORKS,
        (
            "POST /os-networks/add",
            f"{_NETWORK_ACTION} disassociate",
            f"{_NETWORK_ACTION} disassociate_host",
            f"{_NETWORK_ACTION} disassociate_project",
            f"{_NETWORK_ACTION} associate_host",
        ),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _TENANT_NETWORKS,
        ("POST /os-tenant-networks", "DELETE /os-tenant-networks/{id}"),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _VOLUMES,
        (
            "GET /os-volumes",
            "POST /os-volumes",
            "GET /os-volumes/detail",
            "GET /os-volumes/{id}",
            "DELETE /os-volumes/{id}",
            "GET /os-snapshots",
            "POST /os-snapshots",
            "GET /os-snapshots/detail",
            "GET /os-snapshots/{id}",
            "DELETE /os-snapshots/{id}",
        ),
        last=_PROXIES,
    ),
    Lacking(
        501,
        _VOLUMES,
        (
            "POST /servers/{server_id}/os-volume_attachments",
            "PUT /servers/{server_id}/os-volume_attachments/{id}",
            "DELETE /servers/{server_id}/os-volume_attachments/{id}",
            "POST /os-assisted-volume-snapshots",
            "DELETE /os-assisted-volume-snapshots/{id}",
        ),
    ),
    Lacking(
        501,
        "This cloud gives no certificates to users.",
        ("POST /os-certificates", "GET /os-certificates/{id}"),
    ),
    Lacking(
        501,
        "This cloud has no VPN servers of projects (cloudpipe).",
        ("GET /os-cloudpipe", "POST /os-cloudpipe", "PUT /os-cloudpipe/{id}"),
    ),
    # What Nova says of a token that it does not know.
    Lacking(404, "Token not found: this cloud gives none, since it has no remote consoles.",
            ("GET /os-console-auth-tokens/{id}",)),
    Lacking(501, _BAREMETAL, ("GET /os-baremetal-nodes", "GET /os-baremetal-nodes/{id}"), last=_PROXIES),
    # Nova's own proxy has never written.
    Lacking(
        400,
        "Nodes are not changed through the Compute API. Ask the bare metal service itself.",
        (
            "POST /os-baremetal-nodes",
            "DELETE /os-baremetal-nodes/{id}",
            "POST /os-baremetal-nodes/{id}/action add_interface",
            "POST /os-baremetal-nodes/{id}/action remove_interface",
        ),
        last=_PROXIES,
    ),
)  # fmt: skip


def _refusing(status: int, reason: str) -> Handler:
    async def refuse(_: ComputeRequest) -> object:
        raise HttpError(status, reason)

    return refuse


def _routes(
    status: int, reason: str, operations: Iterable[str], first: int = 1, last: int | None = None
) -> Iterable[Route]:
    handler = _refusing(status, reason)
    for operation in operations:
        method, path, *action = operation.split(" ")
        yield Route(
            method, path, _RULE, handler, status=status, action="".join(action), first=first, last=last,
            refusal=reason,
        )  # fmt: skip


ROUTES = (
    *(
        route
        for gone in GONE
        for route in _routes(
            410,
            f"This resource is no longer available: Nova {gone.release} removed {gone.what}.",
            gone.operations,
        )
    ),
    *(
        route
        for lacking in LACKING
        for route in _routes(lacking.status, lacking.reason, lacking.operations, lacking.first, lacking.last)
    ),
)

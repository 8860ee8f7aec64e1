"""Networks, up to 2.35: os-networks for everybody to see and administrators to change, os-tenant-networks."""

import ipaddress
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.views import times
from gateway.faults import HttpError
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.conductor.v1.network_service_pb2 import (
    CreateNetworkRequest,
    DeleteNetworkRequest,
    GetNetworkRequest,
    ListNetworksRequest,
)
from novamesh.failures import AlreadyExistsError, InvalidArgumentError, NotFoundError
from novamesh.types.v1.network_pb2 import Network, NetworkMode

_LAST = 35
_RULE = "os_compute_api:os-networks"


def _basic(network: Network) -> dict[str, Any]:
    """What users see."""
    v4 = ipaddress.ip_network(network.cidr) if network.cidr else None
    v6 = ipaddress.ip_network(network.cidr_v6) if network.cidr_v6 else None
    return {
        "id": network.id,
        "label": network.label,
        "cidr": network.cidr or None,
        "netmask": str(v4.netmask) if v4 else None,
        "gateway": network.gateway or None,
        "broadcast": str(v4.broadcast_address) if v4 else None,
        "dns1": network.dns1 or None,
        "dns2": network.dns2 or None,
        "cidr_v6": network.cidr_v6 or None,
        "gateway_v6": network.gateway_v6 or None,
        "netmask_v6": str(v6.prefixlen) if v6 else None,
    }


def _full(network: Network) -> dict[str, Any]:
    """What administrators see besides."""
    return {
        **_basic(network),
        "bridge": network.bridge or None,
        "bridge_interface": network.bridge_interface or None,
        "created_at": times.microseconds(network.created_at) if network.HasField("created_at") else None,
        "updated_at": times.microseconds(network.updated_at) if network.HasField("updated_at") else None,
        "deleted": False,
        "deleted_at": None,
        "dhcp_server": network.dhcp_server or None,
        "dhcp_start": network.dhcp_start or None,
        "enable_dhcp": network.mode != NetworkMode.NETWORK_MODE_FLAT,
        "host": network.host or None,
        "injected": False,
        "mtu": network.mtu or None,
        "multi_host": network.multi_host,
        "priority": None,
        "project_id": network.project_id or None,
        "rxtx_base": None,
        "share_address": False,
        "vlan": network.vlan or None,
        "vpn_private_address": None,
        "vpn_public_address": None,
        "vpn_public_port": None,
    }


def _view(call: ComputeRequest, network: Network) -> dict[str, Any]:
    return _full(network) if call.context.is_admin else _basic(network)


async def _all(call: ComputeRequest) -> list[Network]:
    answer = await call.state.networks.ListNetworks(
        ListNetworksRequest(project_id=call.project_scope), timeout=call.state.timeout
    )
    return list(answer.networks)


async def _find(call: ComputeRequest) -> Network:
    network_id = call.path["id"]
    try:
        answer = await call.state.networks.GetNetwork(
            GetNetworkRequest(id=network_id), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, "Network not found") from None
    network: Network = answer.network
    if not call.context.is_admin and network.project_id not in ("", call.context.project_id):
        raise HttpError(404, "Network not found")
    return network


async def index(call: ComputeRequest) -> object:
    """GET /os-networks."""
    return {"networks": [_view(call, network) for network in await _all(call)]}


async def show(call: ComputeRequest) -> object:
    """GET /os-networks/{id}."""
    return {"network": _view(call, await _find(call))}


async def create(call: ComputeRequest) -> object:
    """POST /os-networks."""
    given = call.body["network"]
    if not given.get("cidr") and not given.get("cidr_v6"):
        raise HttpError(400, "Network cidr or cidr_v6 is required")
    network = Network(
        label=given["label"],
        mode=NetworkMode.NETWORK_MODE_VLAN
        if given.get("vlan")
        else NetworkMode.NETWORK_MODE_FLAT_DHCP
        if p.as_bool(given.get("enable_dhcp", True))
        else NetworkMode.NETWORK_MODE_FLAT,
        vlan=int(given.get("vlan") or 0),
        mtu=int(given.get("mtu") or 0),
        multi_host=p.as_bool(given.get("multi_host") or False),
        project_id=given.get("project_id") or "",
        **{name: given[name] for name in _TEXTS if given.get(name)},
    )
    try:
        answer = await call.state.networks.CreateNetwork(
            CreateNetworkRequest(request_id=call.context.request_id, network=network),
            timeout=call.state.timeout,
        )
    except AlreadyExistsError as failure:
        raise HttpError(409, failure.message) from None
    return {"network": _full(answer.network)}


async def delete(call: ComputeRequest) -> None:
    """DELETE /os-networks/{id}."""
    try:
        await call.state.networks.DeleteNetwork(
            DeleteNetworkRequest(id=call.path["id"]), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, "Network not found") from None
    except InvalidArgumentError as failure:
        raise HttpError(409, failure.message) from None


def _tenant_view(network: Network) -> dict[str, Any]:
    return {"id": network.id, "label": network.label, "cidr": network.cidr or None}


async def tenant_index(call: ComputeRequest) -> object:
    """GET /os-tenant-networks."""
    return {"networks": [_tenant_view(network) for network in await _all(call)]}


async def tenant_show(call: ComputeRequest) -> object:
    """GET /os-tenant-networks/{id}."""
    return {"network": _tenant_view(await _find(call))}


_TEXTS = (
    "cidr",
    "cidr_v6",
    "gateway",
    "gateway_v6",
    "bridge",
    "bridge_interface",
    "dhcp_start",
    "dhcp_server",
    "dns1",
    "dns2",
)
_ADDRESS: Schema = {"type": ["string", "null"], "format": "ip-address"}
_CIDR: Schema = {"type": ["string", "null"], "format": "cidr"}
_DEVICE: Schema = {"type": ["string", "null"], "maxLength": 15}
CREATE = p.wrapped(
    "network",
    p.record(
        {
            "label": {"type": "string", "minLength": 1, "maxLength": 255},
            "cidr": _CIDR,
            "cidr_v6": _CIDR,
            "gateway": _ADDRESS,
            "gateway_v6": _ADDRESS,
            "bridge": _DEVICE,
            "bridge_interface": _DEVICE,
            "dhcp_start": _ADDRESS,
            "dhcp_server": _ADDRESS,
            "dns1": _ADDRESS,
            "dns2": _ADDRESS,
            "enable_dhcp": p.BOOLEAN,
            "multi_host": p.BOOLEAN,
            "mtu": p.NON_NEGATIVE,
            "vlan": p.NON_NEGATIVE,
            "project_id": {"type": ["string", "null"], "maxLength": 255},
        },
        ("label",),
    ),
)

ROUTES = (
    Route("GET", "/os-networks", _RULE + ":list", index, last=_LAST),
    Route("GET", "/os-networks/{id}", _RULE + ":show", show, last=_LAST),
    Route("POST", "/os-networks", _RULE, create, body=((1, CREATE),), last=_LAST),
    Route("DELETE", "/os-networks/{id}", _RULE, delete, status=202, last=_LAST),
    Route("GET", "/os-tenant-networks", "os_compute_api:os-tenant-networks:list", tenant_index, last=_LAST),
    Route(
        "GET", "/os-tenant-networks/{id}", "os_compute_api:os-tenant-networks:show", tenant_show, last=_LAST
    ),
)

"""Network cards of a server: os-interface, and os-virtual-interfaces of the days before ports."""

from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.types.v1.network_pb2 import VirtualInterface

_RULE = "os_compute_api:os-attach-interfaces:"


def _view(call: ComputeRequest, card: VirtualInterface) -> dict[str, Any]:
    """A card as the port that clients expect. A network's one subnet is known by the network's id."""
    addresses = [address for address in (card.address, card.address_v6) if address]
    shown: dict[str, Any] = {
        "port_state": "ACTIVE" if card.host else "DOWN",
        "port_id": card.id,
        "net_id": card.network.id,
        "mac_addr": card.mac_address,
        "fixed_ips": [{"subnet_id": card.network.id, "ip_address": address} for address in addresses],
    }
    if call.minor >= 70:
        shown["tag"] = card.tag or None
    return shown


async def index(call: ComputeRequest) -> object:
    """GET os-interface."""
    return {"interfaceAttachments": [_view(call, card) for card in (await find(call)).interfaces]}


async def show(call: ComputeRequest) -> object:
    """GET os-interface/{port id}."""
    instance = await find(call)
    for card in instance.interfaces:
        if card.id == call.path["id"]:
            return {"interfaceAttachment": _view(call, card)}
    raise HttpError(404, f"Instance {instance.id} does not have a port with id {call.path['id']}")


async def virtual_interfaces(call: ComputeRequest) -> object:
    """GET os-virtual-interfaces."""
    return {"virtual_interfaces": [_virtual_view(call, card) for card in (await find(call)).interfaces]}


def _virtual_view(call: ComputeRequest, card: VirtualInterface) -> dict[str, str]:
    shown = {"id": card.id, "mac_address": card.mac_address}
    if call.minor >= 12:
        shown["net_id"] = card.network.id
    if call.legacy:
        shown["OS-EXT-VIF-NET:net_id"] = card.network.id
    return shown


_PATH = "/servers/{server_id}/os-interface"

ROUTES = (
    Route("GET", _PATH, _RULE + "list", index),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
    Route(
        "GET",
        "/servers/{server_id}/os-virtual-interfaces",
        "os_compute_api:os-virtual-interfaces",
        virtual_interfaces,
        last=43,
    ),
)

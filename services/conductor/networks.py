"""Networks, and the cards on them."""

import ipaddress
import uuid

from db import interfaces, networks
from db.database import Connection, Database
from db.schema.base import now
from novamesh.conductor.v1.network_service_pb2 import (
    CreateNetworkRequest,
    CreateNetworkResponse,
    DeleteNetworkRequest,
    DeleteNetworkResponse,
    GetNetworkRequest,
    GetNetworkResponse,
    ListInterfacesRequest,
    ListInterfacesResponse,
    ListNetworksRequest,
    ListNetworksResponse,
)
from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.network_pb2 import Network, NetworkMode
from services.conductor import callers
from services.mesh import Call

# Every address of a network is a row.
SMALLEST_PREFIX, LARGEST_PREFIX = 16, 30


def complete(asked: Network) -> tuple[Network, list[str]]:
    """The network with what can be derived filled in, and the addresses that it doesn't give out.

    Raises InvalidArgumentError (label, cidr, gateway, dhcp_start).
    """
    network = Network()
    network.CopyFrom(asked)
    network.id = network.id or str(uuid.uuid4())
    if not network.label.strip():
        raise InvalidArgumentError("label", "A network needs a label.")
    try:
        subnet = ipaddress.IPv4Network(network.cidr)
    except ValueError as error:
        raise InvalidArgumentError("cidr", f"{network.cidr!r} is not an IPv4 subnet: {error}") from error
    if not SMALLEST_PREFIX <= subnet.prefixlen <= LARGEST_PREFIX:
        raise InvalidArgumentError(
            "cidr",
            f"A network's prefix is from /{SMALLEST_PREFIX} to /{LARGEST_PREFIX}, not /{subnet.prefixlen}.",
        )
    network.mode = network.mode or NetworkMode.NETWORK_MODE_FLAT_DHCP
    network.gateway = _inside(network.gateway or str(subnet[1]), subnet, "gateway")
    network.dhcp_server = _inside(network.dhcp_server or network.gateway, subnet, "dhcp_server")
    network.dhcp_start = _inside(network.dhcp_start or str(subnet[2]), subnet, "dhcp_start")
    network.bridge = network.bridge or "br100"
    first = ipaddress.IPv4Address(network.dhcp_start)
    kept = [str(address) for address in subnet if address < first]
    kept += [str(subnet.broadcast_address), network.gateway, network.dhcp_server]
    return network, kept


def _inside(address: str, subnet: ipaddress.IPv4Network, field: str) -> str:
    try:
        parsed = ipaddress.IPv4Address(address)
    except ValueError as error:
        raise InvalidArgumentError(field, f"{address!r} is not an IPv4 address.") from error
    if parsed not in subnet:
        raise InvalidArgumentError(field, f"{address} is not in {subnet}.")
    return str(parsed)


class NetworkServicer:
    """Answers novamesh.conductor.v1.NetworkService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateNetwork(self, request: CreateNetworkRequest, call: Call) -> CreateNetworkResponse:
        """Make one, with its addresses."""
        network, kept = complete(request.network)
        at = now()
        return CreateNetworkResponse(
            network=await self._database.write(lambda c: networks.add(c, network, kept, at))
        )

    async def GetNetwork(self, request: GetNetworkRequest, call: Call) -> GetNetworkResponse:
        """One network."""

        def work(connection: Connection) -> Network:
            if request.id:
                return networks.get(connection, request.id)
            return networks.get_by_label(connection, request.label)

        return GetNetworkResponse(network=await self._database.read(work))

    async def ListNetworks(self, request: ListNetworksRequest, call: Call) -> ListNetworksResponse:
        """Those that a project may use, or all."""
        return ListNetworksResponse(
            networks=await self._database.read(lambda c: networks.everyone(c, request.project_id))
        )

    async def DeleteNetwork(self, request: DeleteNetworkRequest, call: Call) -> DeleteNetworkResponse:
        """Remove one that nobody uses."""
        await self._database.write(lambda c: networks.remove(c, request.id))
        return DeleteNetworkResponse()

    async def ListInterfaces(self, request: ListInterfacesRequest, call: Call) -> ListInterfacesResponse:
        """The cards of a host's instances."""
        callers.check_host(call, request.host)
        return ListInterfacesResponse(
            interfaces=await self._database.read(lambda c: interfaces.of_host(c, request.host))
        )

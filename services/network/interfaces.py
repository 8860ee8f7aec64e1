"""InterfaceService: network cards made ready on this host."""

import asyncio
from collections.abc import Iterable

from drivers.network import NetworkDriver
from novamesh.failures import PermissionDeniedError, UnavailableError
from novamesh.network.v1 import interface_service_pb2 as contract
from novamesh.types.v1.network_pb2 import VirtualInterface
from services.mesh import Call


class InterfaceServicer:
    """novamesh.network.v1.InterfaceService over a driver.

    `rebuilt` is set once the host is as the records say.
    """

    def __init__(self, driver: NetworkDriver, rebuilt: asyncio.Event) -> None:
        self._driver = driver
        self._rebuilt = rebuilt

    async def PlugInterfaces(
        self, request: contract.PlugInterfacesRequest, call: Call
    ) -> contract.PlugInterfacesResponse:
        """Make the host ready for cards."""
        await self._check(request.interfaces, call)
        await self._driver.plug(request.interfaces)
        return contract.PlugInterfacesResponse()

    async def UnplugInterfaces(
        self, request: contract.UnplugInterfacesRequest, call: Call
    ) -> contract.UnplugInterfacesResponse:
        """Take back what was made for cards."""
        await self._check(request.interfaces, call)
        await self._driver.unplug(request.interfaces)
        return contract.UnplugInterfacesResponse()

    async def ListPluggedInterfaces(
        self, request: contract.ListPluggedInterfacesRequest, call: Call
    ) -> contract.ListPluggedInterfacesResponse:
        """Read what the host is ready for; a compute host its own guests' cards only."""
        confined = call.peer.role == "compute"
        return contract.ListPluggedInterfacesResponse(
            interfaces=[
                contract.PluggedInterface(interface=plugged.card, leased=plugged.leased)
                for plugged in await self._driver.plugged()
                if not confined or plugged.card.host in ("", call.peer.host)
            ]
        )

    async def _check(self, cards: Iterable[VirtualInterface], call: Call) -> None:
        if not self._rebuilt.is_set():
            # Later than this the rebuild would take away what was plugged before it.
            raise UnavailableError(
                "network", "The host's network is not rebuilt yet: the conductor does not answer.", 1.0
            )
        if call.peer.role != "compute":
            return
        known = {plugged.card.id: plugged.card.host for plugged in await self._driver.plugged()}
        for card in cards:
            # A compute host may touch its own guests' cards, also where DHCP runs for other hosts'.
            if {card.host, known.get(card.id, "")} - {"", call.peer.host}:
                raise PermissionDeniedError(
                    "network:plug", f"Card {card.id} is not of a guest on {call.peer.host}."
                )

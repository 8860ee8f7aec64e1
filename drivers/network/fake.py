"""A network driver in memory, for clouds without hosts and for tests of who calls it."""

import asyncio
from collections.abc import Sequence

from drivers.network.protocols import NetworkDriver, PluggedCard
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import Network, VirtualInterface


class FakeNetworkDriver(NetworkDriver):
    """Keeps networks and cards in dicts. `delay` is the time in seconds that each change takes."""

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.networks: dict[str, Network] = {}
        self._cards: dict[str, VirtualInterface] = {}
        self._leases: set[tuple[str, str]] = set()
        self._faults: dict[str, list[Exception]] = {}

    def fail_next(self, method: str, error: Exception | None = None) -> None:
        """Let the next call of a method by this name fail, once."""
        error = error or DriverFailureError("network", method, f"{method} was told to fail.")
        self._faults.setdefault(method, []).append(error)

    def lease(self, mac_address: str) -> str | None:
        """Do as a guest does that asks for its address by DHCP. None when nobody answers."""
        for card in self._cards.values():
            if card.mac_address == mac_address:
                self._leases.add((card.mac_address, card.address))
                return card.address
        return None

    async def start(self) -> None:
        """Nothing can be missing."""
        await self._act("start")

    async def apply(self, networks: Sequence[Network], cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        await self._act("apply")
        self._cards = {card.id: card for card in cards}
        self.networks = {network.id: network for network in networks}
        self.networks |= {card.network.id: card.network for card in cards}
        self._drop_leases()

    async def plug(self, cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        await self._act("plug")
        for card in cards:
            self._cards[card.id] = card
            self.networks[card.network.id] = card.network
        self._drop_leases()

    async def unplug(self, cards: Sequence[VirtualInterface]) -> None:
        """See NetworkDriver."""
        await self._act("unplug")
        for card in cards:
            self._cards.pop(card.id, None)
        self._drop_leases()

    async def plugged(self) -> Sequence[PluggedCard]:
        """See NetworkDriver."""
        await self._act("plugged")
        return [
            PluggedCard(card, (card.mac_address, card.address) in self._leases)
            for card in self._cards.values()
        ]

    async def tear_down(self) -> None:
        """See NetworkDriver."""
        await self._act("tear_down")
        self.networks.clear()
        self._cards.clear()
        self._leases.clear()

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _act(self, method: str) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        faults = self._faults.get(method)
        if faults:
            raise faults.pop(0)

    def _drop_leases(self) -> None:
        if self._leases:
            self._leases &= {(card.mac_address, card.address) for card in self._cards.values()}

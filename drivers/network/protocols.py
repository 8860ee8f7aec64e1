"""The Protocol of a network driver."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from novamesh.types.v1.network_pb2 import Network, VirtualInterface


@dataclass(frozen=True)
class PluggedCard:
    """A card that the host is ready for."""

    card: VirtualInterface
    # True once its guest has taken a lease on its address.
    leased: bool


class NetworkDriver(Protocol):
    """Makes one host ready for network cards. See the package's essay; every method may be called twice.

    All raise DriverFailureError("network", ...) when the host refuses.
    """

    async def start(self) -> None:
        """Check that the host has what the driver needs. Changes nothing.

        Raises DriverFailureError that names what is missing and how to get it.
        """

    async def apply(self, networks: Sequence[Network], cards: Sequence[VirtualInterface]) -> None:
        """Make the host so that these networks and cards are there and no others that this driver made.

        What it can't make, it logs and leaves out, since one bad record mustn't keep other guests
        off the network.
        """

    async def plug(self, cards: Sequence[VirtualInterface]) -> None:
        """Add cards, and their networks where they are new. A card that was there is replaced.

        Raises NotSupportedError for a network that this driver can't make, InvalidArgumentError
        for a card whose addresses or names make no sense; none of the cards is plugged then.
        """

    async def unplug(self, cards: Sequence[VirtualInterface]) -> None:
        """Take cards away, by their id. One that is not there is gone already. Networks stay."""

    async def plugged(self) -> Sequence[PluggedCard]:
        """What the host is ready for, in no order."""

    async def tear_down(self) -> None:
        """Remove all that this driver, in this process or an earlier one, has made on the host."""

    async def close(self) -> None:
        """Let go of this process's own means (threads, sockets). The host stays as it is."""


def serves(network: Network, host: str) -> bool:
    """Whether `host` runs DHCP, gateway and NAT for the network."""
    return network.multi_host or network.host in ("", host)

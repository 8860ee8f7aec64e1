"""What a weigher is."""

from typing import Any, Protocol

from numpy.typing import NDArray

from services.scheduler.hosts import HostTable, Ints
from services.scheduler.request import Request


class HostWeigher(Protocol):
    """Gives each host a weight; more is better. Weights are brought to 0..1 before they are multiplied."""

    @property
    def multiplier(self) -> float:
        """How much this weigher counts beside others; below 0 turns it round."""
        ...

    def weights(self, hosts: HostTable, rows: Ints, request: Request) -> NDArray[Any]:
        """One number for each of `rows`, in their order. Changes nothing."""
        ...

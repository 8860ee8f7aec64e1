"""Weighs hosts by free memory."""

from typing import Any

from numpy.typing import NDArray

from services.scheduler.hosts import HostTable, Ints
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request


class RAMWeigher:
    """The more memory is free, not counting overcommitment, the better: spreads instances."""

    def __init__(self, options: SchedulerOptions) -> None:
        self.multiplier = options.ram_weight_multiplier

    def weights(self, hosts: HostTable, rows: Ints, request: Request) -> NDArray[Any]:
        """Free memory in MiB."""
        columns = hosts.columns
        return columns.memory_mb[rows] - columns.memory_mb_used[rows]

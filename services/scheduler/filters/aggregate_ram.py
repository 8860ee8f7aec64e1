"""Leaves out hosts without enough memory by the ratio of their aggregates."""

from services.scheduler.filters.aggregate_values import AggregateNumbers
from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class AggregateRamFilter:
    """The same as RamFilter, with the ratio that a host's aggregates give it as `ram_allocation_ratio`.

    A ratio above the host's own changes nothing: the host's own is what the conductor grants claims by.
    """

    name = "AggregateRamFilter"

    def __init__(self) -> None:
        self._ratios = AggregateNumbers("ram_allocation_ratio", float)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.memory_mb
        if not wanted:
            return None
        limits = self._ratios.limits(hosts, columns.memory_mb, columns.memory_mb_limit)
        fits: Mask = columns.memory_mb_used + wanted <= limits
        fits &= columns.memory_mb >= wanted
        return fits

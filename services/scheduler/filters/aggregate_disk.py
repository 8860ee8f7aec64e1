"""Leaves out hosts without enough disk by the ratio of their aggregates."""

from services.scheduler.filters.aggregate_values import AggregateNumbers
from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class AggregateDiskFilter:
    """The same as DiskFilter, with the ratio that a host's aggregates give it as `disk_allocation_ratio`.

    A ratio above the host's own changes nothing: the host's own is what the conductor grants claims by.
    """

    name = "AggregateDiskFilter"

    def __init__(self) -> None:
        self._ratios = AggregateNumbers("disk_allocation_ratio", float)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.disk_gb
        if not wanted:
            return None
        limits = self._ratios.limits(hosts, columns.disk_gb, columns.disk_gb_limit)
        fits: Mask = columns.disk_gb_used + wanted <= limits
        fits &= columns.disk_gb >= wanted
        return fits

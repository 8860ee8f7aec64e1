"""Leaves out hosts without enough virtual CPUs by the ratio of their aggregates."""

from services.scheduler.filters.aggregate_values import AggregateNumbers
from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class AggregateCoreFilter:
    """The same as CoreFilter, with the ratio that a host's aggregates give it as `cpu_allocation_ratio`.

    A ratio above the host's own changes nothing: the host's own is what the conductor grants claims by.
    """

    name = "AggregateCoreFilter"

    def __init__(self) -> None:
        self._ratios = AggregateNumbers("cpu_allocation_ratio", float)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.vcpus
        if not wanted:
            return None
        limits = self._ratios.limits(hosts, columns.vcpus, columns.vcpus_limit)
        fits: Mask = columns.vcpus_used + wanted <= limits
        fits &= columns.vcpus >= wanted
        return fits

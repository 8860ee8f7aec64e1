"""Leaves out hosts with as much work under way as their aggregates allow."""

from services.scheduler.filters.aggregate_values import AggregateNumbers
from services.scheduler.hosts import HostTable, Mask
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request


class AggregateIoOpsFilter:
    """IoOpsFilter with the limit that a host's aggregates give it as `max_io_ops_per_host`; the option's for
    hosts that have none."""

    name = "AggregateIoOpsFilter"

    def __init__(self, options: SchedulerOptions) -> None:
        self._default = options.max_io_ops_per_host
        self._most = AggregateNumbers("max_io_ops_per_host", int)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that one more is not too much for."""
        most = self._most.or_else(hosts, self._default)
        fits: Mask = hosts.columns.workload + hosts.columns.proposed < most
        return fits

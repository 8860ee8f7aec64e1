"""Leaves out hosts with much work under way."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request


class IoOpsFilter:
    """Hosts on which fewer than `max_io_ops_per_host` instances have a task under way (a build, a resize, a
    snapshot ...), those proposed counted."""

    name = "IoOpsFilter"

    def __init__(self, options: SchedulerOptions) -> None:
        self._most = options.max_io_ops_per_host

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that one more is not too much for."""
        fits: Mask = hosts.columns.workload + hosts.columns.proposed < self._most
        return fits

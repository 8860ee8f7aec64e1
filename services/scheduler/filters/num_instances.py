"""Leaves out hosts with many instances."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request


class NumInstancesFilter:
    """Hosts with fewer instances than `max_instances_per_host`, those proposed counted."""

    name = "NumInstancesFilter"

    def __init__(self, options: SchedulerOptions) -> None:
        self._most = options.max_instances_per_host

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that one more is not too much for."""
        fits: Mask = hosts.columns.instances + hosts.columns.proposed < self._most
        return fits

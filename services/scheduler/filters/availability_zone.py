"""Keeps to the availability zone that the user asked for."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class AvailabilityZoneFilter:
    """Hosts of the zone asked for; all hosts when none was."""

    name = "AvailabilityZoneFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts of the zone."""
        wanted = request.availability_zone
        if not wanted:
            return None
        return hosts.spread([zone == wanted for zone in hosts.zones], hosts.columns.zone)

"""Leaves out hosts without enough disk."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class DiskFilter:
    """Claims may exceed what the host has by its ratio, but one instance never exceeds the whole host."""

    name = "DiskFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.disk_gb
        if not wanted:
            return None
        fits: Mask = columns.disk_gb_used <= columns.disk_gb_limit - wanted
        fits &= columns.disk_gb >= wanted
        return fits

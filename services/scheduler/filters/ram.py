"""Leaves out hosts without enough memory."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class RamFilter:
    """Claims may exceed what the host has by its ratio, but one instance never exceeds the whole host."""

    name = "RamFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.memory_mb
        if not wanted:
            return None
        fits: Mask = columns.memory_mb_used <= columns.memory_mb_limit - wanted
        fits &= columns.memory_mb >= wanted
        return fits

"""Leaves out hosts without enough virtual CPUs."""

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class CoreFilter:
    """Claims may exceed what the host has by its ratio, but one instance never exceeds the whole host."""

    name = "CoreFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the instance still fits on."""
        columns, wanted = hosts.columns, request.claim.vcpus
        if not wanted:
            return None
        fits: Mask = columns.vcpus_used <= columns.vcpus_limit - wanted
        fits &= columns.vcpus >= wanted
        return fits

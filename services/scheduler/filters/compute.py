"""Leaves out hosts whose compute role can't take work."""

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class ComputeFilter:
    """Hosts that are enabled, send heartbeats and aren't declared down."""

    name = "ComputeFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Usable hosts."""
        return hosts.columns.usable.astype(np.bool_)

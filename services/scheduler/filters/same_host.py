"""Puts an instance beside others."""

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class SameHostFilter:
    """Hosts with one of the instances that the hint `same_host` names, when it is given."""

    name = "SameHostFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts of the named instances; none when those are on no host."""
        if not request.scheduler_hints.get("same_host"):
            return None
        mask = np.zeros(len(hosts), dtype=np.bool_)
        mask[hosts.rows(request.same_hosts)] = True
        return mask

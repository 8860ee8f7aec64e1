"""Keeps the members of an affinity group together."""

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class ServerGroupAffinityFilter:
    """Hosts with a member of the instance's group, when its policy is affinity and it has members."""

    name = "ServerGroupAffinityFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts with a member; all of them for the first member."""
        if request.group_policy != "affinity" or not request.group_hosts:
            return None
        mask = np.zeros(len(hosts), dtype=np.bool_)
        mask[hosts.rows(request.group_hosts)] = True
        return mask

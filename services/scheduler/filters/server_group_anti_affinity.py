"""Keeps the members of an anti-affinity group apart."""

from collections import Counter

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class ServerGroupAntiAffinityFilter:
    """Hosts with fewer members of the instance's group than the group allows, which is one unless it says
    otherwise; when its policy is anti-affinity."""

    name = "ServerGroupAntiAffinityFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts with room for one more member."""
        if request.group_policy != "anti-affinity":
            return None
        mask = np.ones(len(hosts), dtype=np.bool_)
        members = Counter(request.group_hosts)
        full = [name for name, count in members.items() if count >= request.group_max_server_per_host]
        mask[hosts.rows(full)] = False
        return mask

"""Keeps an instance away from others."""

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class DifferentHostFilter:
    """Hosts without any of the instances that the hint `different_host` names."""

    name = "DifferentHostFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """All but the hosts of the named instances."""
        rows = hosts.rows(request.different_hosts)
        if not rows:
            return None
        mask = np.ones(len(hosts), dtype=np.bool_)
        mask[rows] = False
        return mask

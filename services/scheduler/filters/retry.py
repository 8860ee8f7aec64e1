"""Leaves out hosts that have refused already."""

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request


class RetryFilter:
    """A host that refused this instance once isn't asked again for it."""

    name = "RetryFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """All but the tried hosts."""
        rows = hosts.rows(request.tried_hosts)
        if not rows:
            return None
        mask = np.ones(len(hosts), dtype=np.bool_)
        mask[rows] = False
        return mask

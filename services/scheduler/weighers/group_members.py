"""How many members of a request's server group each host has."""

from collections import Counter

import numpy as np

from services.scheduler.hosts import HostTable, Ints
from services.scheduler.request import Request


def members(hosts: HostTable, rows: Ints, request: Request) -> Ints:
    """One count for each of `rows`, in their order."""
    counts = np.zeros(len(hosts), dtype=np.int64)
    for name, count in Counter(request.group_hosts).items():
        row = hosts.row(name)
        if row is not None:
            counts[row] = count
    return counts[rows]

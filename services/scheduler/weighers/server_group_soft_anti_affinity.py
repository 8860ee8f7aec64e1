"""Weighs hosts by the members of a soft-anti-affinity group."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.scheduler.hosts import HostTable, Ints
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request
from services.scheduler.weighers.group_members import members


class ServerGroupSoftAntiAffinityWeigher:
    """The fewer members of the instance's group a host has, the better, when its policy is
    soft-anti-affinity."""

    def __init__(self, options: SchedulerOptions) -> None:
        self.multiplier = options.soft_anti_affinity_weight_multiplier

    def weights(self, hosts: HostTable, rows: Ints, request: Request) -> NDArray[Any]:
        """The number of members below 0."""
        if request.group_policy != "soft-anti-affinity":
            return np.zeros(len(rows))
        return -members(hosts, rows, request)

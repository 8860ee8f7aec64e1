"""Weighs hosts by the members of a soft-affinity group."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.scheduler.hosts import HostTable, Ints
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request
from services.scheduler.weighers.group_members import members


class ServerGroupSoftAffinityWeigher:
    """The more members of the instance's group a host has, the better, when its policy is soft-affinity."""

    def __init__(self, options: SchedulerOptions) -> None:
        self.multiplier = options.soft_affinity_weight_multiplier

    def weights(self, hosts: HostTable, rows: Ints, request: Request) -> NDArray[Any]:
        """The number of members."""
        if request.group_policy != "soft-affinity":
            return np.zeros(len(rows))
        return members(hosts, rows, request)

"""Weighers: which of the hosts that will do is best.

To add one, write a class with the members of `HostWeigher`, put it into a copy
of `WEIGHERS` under its name, give that to `SchedulerRole` and name it in
`weight_classes`.
"""

from collections.abc import Callable, Mapping

from services.scheduler.options import SchedulerOptions
from services.scheduler.weighers.protocol import HostWeigher
from services.scheduler.weighers.ram import RAMWeigher
from services.scheduler.weighers.server_group_soft_affinity import ServerGroupSoftAffinityWeigher
from services.scheduler.weighers.server_group_soft_anti_affinity import ServerGroupSoftAntiAffinityWeigher

WEIGHERS: Mapping[str, Callable[[SchedulerOptions], HostWeigher]] = {
    "RAMWeigher": RAMWeigher,
    "ServerGroupSoftAffinityWeigher": ServerGroupSoftAffinityWeigher,
    "ServerGroupSoftAntiAffinityWeigher": ServerGroupSoftAntiAffinityWeigher,
}

__all__ = ["WEIGHERS", "HostWeigher", "RAMWeigher"]

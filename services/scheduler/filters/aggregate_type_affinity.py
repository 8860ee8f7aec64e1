"""Keeps aggregates to the flavors that they are for."""

from services.scheduler.filters.aggregate_values import values_of
from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.hosts import HostKind, HostTable, Mask
from services.scheduler.request import Request

KEY = "instance_type"


class AggregateTypeAffinityFilter:
    """Leaves out hosts whose aggregates name flavors as `instance_type`, but for those flavors."""

    name = "AggregateTypeAffinityFilter"

    def __init__(self) -> None:
        self._kinds = KindCache(_admits)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that take the flavor."""
        return self._kinds.mask(hosts, (request.flavor_name,))


def _admits(kind: HostKind, wanted: tuple[str]) -> bool:
    flavors = values_of(kind).get(KEY)
    return flavors is None or wanted[0] in flavors

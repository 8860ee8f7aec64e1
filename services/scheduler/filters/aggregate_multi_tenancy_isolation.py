"""Keeps aggregates to the projects that they are for."""

from services.scheduler.filters.aggregate_values import values_of
from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.hosts import HostKind, HostTable, Mask
from services.scheduler.request import Request

KEY = "filter_tenant_id"


class AggregateMultiTenancyIsolation:
    """Leaves out hosts whose aggregates name projects as `filter_tenant_id`, but for those projects.

    Other hosts are for everybody, these projects included.
    """

    name = "AggregateMultiTenancyIsolation"

    def __init__(self) -> None:
        self._kinds = KindCache(_admits)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the project may use."""
        return self._kinds.mask(hosts, (request.project_id,))


def _admits(kind: HostKind, wanted: tuple[str]) -> bool:
    projects = values_of(kind).get(KEY)
    return projects is None or wanted[0] in projects

"""Matches a flavor's extra specs with the metadata of hosts' aggregates."""

from services.scheduler.filters.aggregate_values import values_of
from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.filters.spec_operators import matches
from services.scheduler.hosts import HostKind, HostTable, Mask
from services.scheduler.request import Request

SCOPE = "aggregate_instance_extra_specs"


class AggregateInstanceExtraSpecsFilter:
    """Hosts whose aggregates have, for every extra spec `aggregate_instance_extra_specs:<key>` and every one
    without a scope, a value that matches; the operators are those of ComputeCapabilitiesFilter."""

    name = "AggregateInstanceExtraSpecsFilter"

    def __init__(self) -> None:
        self._kinds = KindCache(_matches_all)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that match; all of them for a flavor that asks for nothing."""
        wanted = tuple((key, text) for spec, text in request.extra_specs.items() if (key := _key(spec)))
        return self._kinds.mask(hosts, wanted) if wanted else None


def _key(spec: str) -> str:
    """The metadata key that an extra spec is about; empty when it is for somebody else."""
    scope, colon, rest = spec.partition(":")
    if not colon:
        return spec
    return rest if scope == SCOPE else ""


def _matches_all(kind: HostKind, wanted: tuple[tuple[str, str], ...]) -> bool:
    values = values_of(kind)
    return all(any(matches(value, text) for value in values.get(key, ())) for key, text in wanted)

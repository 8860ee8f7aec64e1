"""Matches a flavor's extra specs with what hosts are."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.filters.spec_operators import matches
from services.scheduler.hosts import Columns, HostKind, HostTable, Ints, Mask
from services.scheduler.request import Request

SCOPE = "capabilities"

# Nova's names of a host's numbers, by what makes them from the columns.
_NUMBERS: Mapping[str, Callable[[Columns], Ints]] = {
    "vcpus_total": lambda c: c.vcpus,
    "vcpus_used": lambda c: c.vcpus_used,
    "total_usable_ram_mb": lambda c: c.memory_mb,
    "free_ram_mb": lambda c: c.memory_mb - c.memory_mb_used,
    "total_usable_disk_gb": lambda c: c.disk_gb,
    "free_disk_mb": lambda c: (c.disk_gb - c.disk_gb_used) * 1024,
    "num_instances": lambda c: c.instances,
    "num_io_ops": lambda c: c.workload,
}


class ComputeCapabilitiesFilter:
    """Hosts that match every extra spec `capabilities:<name>` of the flavor, and every one without a scope.

    Names: hypervisor_type, hypervisor_version, cpu_info:<key>[:<key>], capabilities,
    supported_instances, and the numbers of Nova's host state. A name that hosts
    lack is matched by none, as in Nova.
    """

    name = "ComputeCapabilitiesFilter"

    def __init__(self) -> None:
        self._kinds = KindCache(_matches_all)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that match."""
        mask: Mask | None = None
        texts: list[tuple[str, str]] = []
        for key, requirement in request.extra_specs.items():
            path = _path(key)
            if not path:
                continue
            number = _NUMBERS.get(path)
            if number is None:
                texts.append((path, requirement))
                continue
            values, where = np.unique(number(hosts.columns), return_inverse=True)
            found = np.array([matches(int(v), requirement) for v in values], dtype=np.bool_)[where]
            mask = found if mask is None else mask & found
        if texts:
            found = self._kinds.mask(hosts, tuple(texts))
            mask = found if mask is None else mask & found
        return mask


def _path(key: str) -> str:
    """The name in a key of extra specs; empty when the key is for somebody else."""
    scope, colon, rest = key.partition(":")
    if not colon:
        return key
    return rest if scope == SCOPE else ""


def _matches_all(kind: HostKind, texts: tuple[tuple[str, str], ...]) -> bool:
    facts: dict[str, Any] = {
        "hypervisor_type": kind.hypervisor_type,
        "hypervisor_version": kind.hypervisor_version,
        "supported_instances": kind.supported_instances,
        "capabilities": kind.capabilities,
        "cpu_info": _parsed(kind.cpu_info),
    }
    return all(_matches_one(facts, path, requirement) for path, requirement in texts)


def _matches_one(facts: dict[str, Any], path: str, requirement: str) -> bool:
    value: Any = facts
    for step in path.split(":"):
        if not isinstance(value, dict) or step not in value:
            return False
        value = value[step]
    return matches(value, requirement)


def _parsed(cpu_info: str) -> Any:
    try:
        return json.loads(cpu_info)
    except ValueError:
        return cpu_info

"""Lets a query of the user's choose the hosts."""

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from services.scheduler.hosts import HostTable, Mask
from services.scheduler.request import Request

Facts = Mapping[str, Any]


class JsonFilter:
    """Hosts for which the hint `query` is true: `["and", [">=", "$free_ram_mb", 1024], ["=", "$host", "a"]]`.

    A query is a list of an operator and its arguments; a text that begins with `$` stands for what
    `facts` knows of a host. A query that can't be read lets no host pass.
    """

    name = "JsonFilter"

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts for which it is true."""
        text = request.scheduler_hints.get("query")
        if not text:
            return None
        try:
            query = json.loads(text)
            passing = [_holds(query, facts(hosts, row)) for row in range(len(hosts))]
        except (ValueError, TypeError, LookupError, RecursionError):
            return np.zeros(len(hosts), dtype=np.bool_)
        return np.array(passing, dtype=np.bool_)


def facts(hosts: HostTable, row: int) -> Facts:
    """What a query may ask of a host, under the names that Nova's HostState has."""
    columns, inventory = hosts.columns, hosts.inventories[row]
    return {
        "host": hosts.names[row],
        "nodename": inventory.hypervisor_hostname,
        "hypervisor_hostname": inventory.hypervisor_hostname,
        "hypervisor_type": inventory.hypervisor_type,
        "hypervisor_version": inventory.hypervisor_version,
        "host_ip": inventory.host_ip,
        "vcpus_total": int(columns.vcpus[row]),
        "vcpus_used": int(columns.vcpus_used[row]),
        "total_usable_ram_mb": int(columns.memory_mb[row]),
        "free_ram_mb": int(columns.memory_mb[row] - columns.memory_mb_used[row]),
        "total_usable_disk_gb": int(columns.disk_gb[row]),
        "disk_mb_used": 1024 * int(columns.disk_gb_used[row]),
        "free_disk_mb": 1024 * int(columns.disk_gb[row] - columns.disk_gb_used[row]),
        "num_instances": int(columns.instances[row]),
        "num_io_ops": int(columns.workload[row]),
    }


def _holds(query: Any, known: Facts) -> bool:
    return not query or bool(_OPERATORS[query[0]](_arguments(query[1:], known)))


def _arguments(given: Sequence[Any], known: Facts) -> list[Any]:
    arguments = []
    for argument in given:
        value: Any
        if isinstance(argument, list):
            value = _holds(argument, known)
        elif isinstance(argument, str):
            value = known.get(argument[1:]) if argument.startswith("$") else argument or None
        else:
            value = argument
        # What isn't known of a host is left out.
        if value is not None:
            arguments.append(value)
    return arguments


def _each(compare: Callable[[Any, Any], Any]) -> Callable[[list[Any]], Any]:
    """True when the first argument compares so with all the others, and there are others."""
    return lambda given: len(given) > 1 and all(compare(given[0], other) for other in given[1:])


_OPERATORS: Mapping[str, Callable[[list[Any]], Any]] = {
    "=": _each(operator.eq),
    "<": _each(operator.lt),
    ">": _each(operator.gt),
    "<=": _each(operator.le),
    ">=": _each(operator.ge),
    "in": lambda given: len(given) > 1 and given[0] in given[1:],
    "not": lambda given: not all(given),
    "or": any,
    "and": all,
}

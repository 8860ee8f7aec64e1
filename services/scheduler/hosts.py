"""The scheduler's picture of the hosts, as numpy columns.

One row a host, in no order that means anything: a removed host's row is taken
by the last one. Text is interned, so that a filter on it looks at each distinct
value once and spreads the result over the rows.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novamesh.types.v1.host_pb2 import Host, HostInventory

Mask = NDArray[np.bool_]
_UNKNOWN = HostInventory()
Ints = NDArray[np.int64]


class Claim(NamedTuple):
    """What one instance takes of its host."""

    vcpus: int
    memory_mb: int
    disk_gb: int


class HostKind(NamedTuple):
    """What filters compare as text: the same for all hosts of one make, so there are few of them."""

    hypervisor_type: str
    hypervisor_version: int
    cpu_info: str
    supported_instances: tuple[str, ...]
    capabilities: tuple[str, ...]
    aggregate_metadata: tuple[tuple[str, str], ...]


class Columns(NamedTuple):
    """One value a host. Limits are totals times their ratio, rounded down; used includes proposals."""

    vcpus: Ints
    vcpus_limit: Ints
    vcpus_used: Ints
    memory_mb: Ints
    memory_mb_limit: Ints
    memory_mb_used: Ints
    disk_gb: Ints
    disk_gb_limit: Ints
    disk_gb_used: Ints
    instances: Ints
    workload: Ints
    # Instances proposed for it, of which no claim has been seen.
    proposed: Ints
    # 1 for a host that is enabled, up and not forced down.
    usable: Ints
    # Indices into HostTable.zones and HostTable.kinds.
    zone: Ints
    kind: Ints


class HostTable:
    """All hosts, changed in batches.

    `names` and `inventories` have one entry a row, `zones` and `kinds` one for each that there is; all are
    for reading. `version` counts the batches.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.inventories: list[HostInventory] = []
        self.zones: list[str] = []
        self.kinds: list[HostKind] = []
        self.version = 0
        self._rows: dict[str, int] = {}
        self._zone_codes: dict[str, int] = {}
        self._kind_codes: dict[HostKind, int] = {}
        self._store = np.zeros((len(Columns._fields), 64), dtype=np.int64)
        self.columns = Columns(*self._store[:, :0])

    def __len__(self) -> int:
        return len(self.names)

    def row(self, name: str) -> int | None:
        """The row of a host, None when there is none of that name."""
        return self._rows.get(name)

    def rows(self, names: Iterable[str]) -> list[int]:
        """The rows of the hosts that are known among these."""
        return [row for name in names if (row := self._rows.get(name)) is not None]

    def claims(self, name: str) -> int:
        """How many instances the conductor counts on a host, 0 when it isn't known."""
        row = self._rows.get(name)
        return 0 if row is None else int(self.columns.instances[row])

    def update(self, hosts: Sequence[Host], removed: Iterable[str] = ()) -> None:
        """Take in a batch. What is proposed for the hosts has to be added again by `take`."""
        for name in removed:
            self._remove(name)
        if hosts:
            last = {host.name: host for host in hosts}
            rows = [self._row_for(name) for name in last]
            self._store[:, rows] = np.array([self._values(h) for h in last.values()], dtype=np.int64).T
            for row, host in zip(rows, last.values(), strict=True):
                self.inventories[row] = host.inventory
        self.columns = Columns(*self._store[:, : len(self.names)])
        self.version += 1

    def take(self, name: str, claim: Claim, sign: int = 1) -> None:
        """Count a claim as used (or with sign -1, no longer). Unknown hosts are passed over."""
        row = self._rows.get(name)
        if row is None:
            return
        columns = self.columns
        columns.vcpus_used[row] += sign * claim.vcpus
        columns.memory_mb_used[row] += sign * claim.memory_mb
        columns.disk_gb_used[row] += sign * claim.disk_gb
        columns.proposed[row] += sign

    def spread(self, values: Sequence[bool], column: Ints) -> Mask:
        """A mask from one value for each zone or kind and the column that refers to them."""
        mask: Mask = np.array(values, dtype=np.bool_)[column]
        return mask

    def _row_for(self, name: str) -> int:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = len(self.names)
            self.names.append(name)
            self.inventories.append(_UNKNOWN)
            if row == self._store.shape[1]:
                self._store = np.concatenate((self._store, np.zeros_like(self._store)), axis=1)
        return row

    def _remove(self, name: str) -> None:
        row = self._rows.pop(name, None)
        if row is None:
            return
        last, inventory = self.names.pop(), self.inventories.pop()
        if last != name:
            self.names[row] = last
            self.inventories[row] = inventory
            self._rows[last] = row
            self._store[:, row] = self._store[:, len(self.names)]

    def _values(self, host: Host) -> tuple[int, ...]:
        """In the order of Columns."""
        has, used = host.inventory, host.usage
        return (
            has.vcpus,
            int(has.vcpus * host.cpu_allocation_ratio),
            used.vcpus,
            has.memory_mb,
            int(has.memory_mb * host.ram_allocation_ratio),
            used.memory_mb,
            has.disk_gb,
            int(has.disk_gb * host.disk_allocation_ratio),
            used.disk_gb,
            used.instances,
            used.workload,
            0,
            host.enabled and host.up and not host.forced_down,
            self._zone_code(host.availability_zone),
            self._kind_code(host),
        )

    def _zone_code(self, zone: str) -> int:
        code = self._zone_codes.get(zone)
        if code is None:
            code = self._zone_codes[zone] = len(self.zones)
            self.zones.append(zone)
        return code

    def _kind_code(self, host: Host) -> int:
        has = host.inventory
        kind = HostKind(
            has.hypervisor_type,
            has.hypervisor_version,
            has.cpu_info,
            tuple(has.supported_instances),
            tuple(has.capabilities),
            tuple(sorted(host.aggregate_metadata.items())),
        )
        code = self._kind_codes.get(kind)
        if code is None:
            code = self._kind_codes[kind] = len(self.kinds)
            self.kinds.append(kind)
        return code

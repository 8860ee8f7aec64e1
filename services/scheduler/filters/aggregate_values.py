"""What the aggregates of hosts say, as filters want it: words or numbers, read once for each kind of host."""

import math
from collections.abc import Callable

import numpy as np
import structlog
from numpy.typing import NDArray

from services.scheduler.hosts import HostKind, HostTable, Ints

log = structlog.get_logger("novamesh.scheduler")


def values_of(kind: HostKind) -> dict[str, frozenset[str]]:
    """The metadata of a kind's aggregates by key. A value may be a list: `a, b` is two words, and so are the
    values of two aggregates."""
    return {key: frozenset(word.strip() for word in text.split(",")) for key, text in kind.aggregate_metadata}


class AggregateNumbers:
    """A number that aggregates may give their hosts under one key; the smallest when they differ.

    A cache belongs to one table, as the filter that has it does.
    """

    def __init__(self, key: str, parse: Callable[[str], float]) -> None:
        self._key = key
        self._parse = parse
        self._known: list[float] = []

    def of(self, hosts: HostTable) -> NDArray[np.float64]:
        """One for each row; NaN where no aggregate gives one, or what it gives is no number."""
        self._known += [self._number(kind) for kind in hosts.kinds[len(self._known) :]]
        numbers: NDArray[np.float64] = np.array(self._known, dtype=np.float64)[hosts.columns.kind]
        return numbers

    def or_else(self, hosts: HostTable, default: float) -> NDArray[np.float64]:
        """The same, with `default` in place of NaN."""
        numbers = self.of(hosts)
        return np.where(np.isnan(numbers), default, numbers)

    def limits(self, hosts: HostTable, total: Ints, limit: Ints) -> NDArray[np.float64]:
        """The numbers as ratios: how much of each total may be claimed, rounded down, and never more than
        `limit`, beyond which the conductor grants no claim."""
        ratios = self.of(hosts)
        return np.where(np.isnan(ratios), limit, np.fmin(limit, np.floor(total * ratios)))

    def _number(self, kind: HostKind) -> float:
        words = values_of(kind).get(self._key, frozenset())
        if not words:
            return math.nan
        try:
            return min(self._parse(word) for word in words)
        except ValueError:
            log.warning("aggregate metadata is no number", key=self._key, values=sorted(words))
            return math.nan

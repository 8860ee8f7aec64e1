"""Remembers which kinds of host meet a requirement."""

from collections.abc import Callable
from typing import Generic, TypeVar

from services.scheduler.hosts import HostKind, HostTable, Mask

# Requirements that are remembered: about as many flavors and images as are in use at a time.
_REMEMBERED = 256

Requirement = TypeVar("Requirement", bound=tuple[object, ...])


class KindCache(Generic[Requirement]):
    """Judges each kind of host once for each requirement, however many hosts and requests there are.

    A table only ever adds kinds, so a judgement stays true; a cache belongs to one table.
    """

    def __init__(self, meets: Callable[[HostKind, Requirement], bool]) -> None:
        self._meets = meets
        self._known: dict[Requirement, list[bool]] = {}

    def mask(self, hosts: HostTable, requirement: Requirement) -> Mask:
        """True for each host whose kind meets the requirement."""
        known = self._known.get(requirement)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                del self._known[next(iter(self._known))]
            known = self._known[requirement] = []
        known += [self._meets(kind, requirement) for kind in hosts.kinds[len(known) :]]
        return hosts.spread(known, hosts.columns.kind)

"""Choosing hosts: filters, weighers, a choice."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from novamesh.errors.v1.errors_pb2 import FilterRefusal
from novamesh.scheduler.v1.destination_service_pb2 import Destination, RequestSpec
from services.scheduler.filters import HostFilter
from services.scheduler.hosts import HostTable, Ints, Mask
from services.scheduler.options import SchedulerOptions
from services.scheduler.proposals import Proposals
from services.scheduler.request import Request, request_of
from services.scheduler.weighers import HostWeigher

# The one filter that a forced host must pass, and the name of the step that picks it out.
FORCED_FILTER = "ComputeFilter"
FORCED_STEP = "ForcedHost"
# The same for a host that is asked for, which must pass all filters.
REQUESTED_STEP = "RequestedHost"
# The step that leaves out hosts that won't do, where no filter is there for it.
TRIED_FILTER = "RetryFilter"
TRIED_STEP = "TriedHosts"


class Parts(NamedTuple):
    """The filters in their order, and the weighers."""

    filters: Sequence[HostFilter]
    weighers: Sequence[HostWeigher]


class Selector:
    """Selects hosts from the picture and counts what it has selected as used."""

    def __init__(self, hosts: HostTable, parts: Parts, options: SchedulerOptions) -> None:
        self._hosts = hosts
        self._parts = parts
        self._options = options
        self._random = random.Random(options.seed)  # noqa: S311 - spreads load, guards nothing
        self.proposals = Proposals(hosts, options.proposal_lifetime)

    def select(self, spec: RequestSpec, alternates: int, now: float) -> list[Destination]:
        """One destination for each instance of the spec, in its order. `now`: seconds of a steady clock."""
        self.proposals.expire(now)
        for instance_id in spec.instance_ids:
            # Asked for again: whatever was proposed before has been refused.
            self.proposals.drop(instance_id)
        request = request_of(spec)
        mine = frozenset(spec.instance_ids)
        destinations = []
        for instance_id in spec.instance_ids:
            destination = self._select_one(instance_id, request, spec, alternates)
            if not destination.hosts and self.proposals.others(mine):
                # Full only by what was proposed to others, and perhaps not claimed: let the claim decide.
                with self.proposals.set_aside(mine):
                    destination = self._select_one(instance_id, request, spec, alternates)
            if destination.hosts:
                self.proposals.add(instance_id, destination.hosts[0], request.claim, now)
                request.group_hosts.append(destination.hosts[0])
            destinations.append(destination)
        return destinations

    def _select_one(
        self, instance_id: str, request: Request, spec: RequestSpec, alternates: int
    ) -> Destination:
        mask, refusals = self._filter(request, spec)
        names = self._choose(np.flatnonzero(mask), request, alternates)
        return Destination(instance_id=instance_id, hosts=names, refusals=() if names else refusals)

    def _filter(self, request: Request, spec: RequestSpec) -> tuple[Mask, list[FilterRefusal]]:
        """Hosts that all filters let pass, and what each one left, up to the one that left none."""
        before = len(self._hosts)
        passing = np.ones(before, dtype=np.bool_)
        steps: list[FilterRefusal] = []
        filters = self._parts.filters
        for name, step in ((spec.forced_host, FORCED_STEP), (spec.requested_host, REQUESTED_STEP)):
            if name and before:
                only = np.zeros(len(self._hosts), dtype=np.bool_)
                only[self._hosts.rows([name])] = True
                passing &= only
                after = int(np.count_nonzero(passing))
                steps.append(FilterRefusal(filter=step, before=before, after=after))
                before = after
        if spec.filters:
            filters = [part for part in filters if part.name in spec.filters]
        if spec.forced_host:
            filters = [part for part in filters if part.name == FORCED_FILTER]
        elif before and spec.tried_hosts and all(part.name != TRIED_FILTER for part in filters):
            # Whoever asks relies on it: a guest that is to leave a host would be sent there.
            passing[self._hosts.rows(spec.tried_hosts)] = False
            after = int(np.count_nonzero(passing))
            steps.append(FilterRefusal(filter=TRIED_STEP, before=before, after=after))
            before = after
        for part in filters:
            if not before:
                break
            mask = part.passing(self._hosts, request)
            if mask is not None:
                passing &= mask
            after = before if mask is None else int(np.count_nonzero(passing))
            steps.append(FilterRefusal(filter=part.name, before=before, after=after))
            before = after
        return passing, steps

    def _choose(self, rows: Ints, request: Request, alternates: int) -> list[str]:
        """The best host and its alternates by name; empty when there are no rows."""
        if not len(rows):
            return []
        weights = self._weigh(rows, request)
        subset = min(len(rows), self._options.host_subset_size)
        if subset > 1:
            best = _heaviest(weights, subset)
        elif self._options.shuffle_best_same_weighed_hosts:
            best = np.flatnonzero(weights == weights.max())
        else:
            best = np.array([weights.argmax()])
        chosen = int(best[self._random.randrange(len(best))])
        names = [self._hosts.names[rows[chosen]]]
        others = min(alternates, len(rows) - 1)
        if others > 0:
            weights[chosen] = -np.inf
            names += [self._hosts.names[rows[i]] for i in _heaviest(weights, others)]
        return names

    def _weigh(self, rows: Ints, request: Request) -> NDArray[np.float64]:
        """The sum of all weighers, each normalised to 0..1 before its multiplier, as Nova does."""
        total = np.zeros(len(rows))
        for weigher in self._parts.weighers:
            weights = weigher.weights(self._hosts, rows, request).astype(np.float64)
            low, high = weights.min(), weights.max()
            if high > low:
                total += (weights - low) * (weigher.multiplier / (high - low))
        return total


def _heaviest(weights: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Positions of the `count` largest weights, the largest first."""
    if count < len(weights):
        top = np.argpartition(weights, len(weights) - count)[-count:]
    else:
        top = np.arange(len(weights))
    return top[np.argsort(-weights[top], kind="stable")]

"""DestinationService: which hosts instances may go to."""

import asyncio
import time

from prometheus_client import Counter, Histogram

from novamesh.failures import InvalidArgumentError, UnavailableError
from novamesh.scheduler.v1.destination_service_pb2 import (
    SelectDestinationsRequest,
    SelectDestinationsResponse,
)
from services.mesh import Call
from services.scheduler.selection import Selector

# How long a request waits for the first picture of the hosts, in seconds: the time of a start.
PATIENCE = 2.0

_SELECTIONS = Counter(
    "novamesh_scheduler_selections_total", "Instances that hosts were selected for", ["outcome"]
)
_SECONDS = Histogram(
    "novamesh_scheduler_selection_seconds",
    "Time to select hosts for one request",
    buckets=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1),
)


class DestinationServicer:
    """Answers from the picture of the hosts; `ready` says that there is one."""

    def __init__(self, selector: Selector, ready: asyncio.Event) -> None:
        self._selector = selector
        self._ready = ready

    async def SelectDestinations(
        self, request: SelectDestinationsRequest, call: Call
    ) -> SelectDestinationsResponse:
        """See DestinationService.SelectDestinations."""
        if not request.spec.instance_ids:
            raise InvalidArgumentError("spec.instance_ids", "No instance was named.")
        await self._wait_for_hosts(min(PATIENCE, call.remaining() / 2))
        began = time.monotonic()
        destinations = self._selector.select(request.spec, max(0, request.alternates), began)
        _SECONDS.observe(time.monotonic() - began)
        placed = sum(1 for destination in destinations if destination.hosts)
        _SELECTIONS.labels("placed").inc(placed)
        _SELECTIONS.labels("refused").inc(len(destinations) - placed)
        return SelectDestinationsResponse(destinations=destinations)

    async def _wait_for_hosts(self, patience: float) -> None:
        if self._ready.is_set():
            return
        try:
            await asyncio.wait_for(self._ready.wait(), patience)
        except TimeoutError:
            raise UnavailableError(
                "scheduler",
                "The scheduler has no picture of the hosts yet: no conductor has sent it one.",
                retry_after=1,
            ) from None

"""The scheduler as a role of the mesh."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from novamesh.scheduler.v1 import destination_service_pb2
from services.mesh import Binding, Node
from services.scheduler.destinations import DestinationServicer
from services.scheduler.filters import FILTERS, HostFilter
from services.scheduler.hosts import HostTable
from services.scheduler.options import SchedulerOptions
from services.scheduler.selection import Parts, Selector
from services.scheduler.watch import HostWatcher
from services.scheduler.weighers import WEIGHERS, HostWeigher

T = TypeVar("T")


class SchedulerRole:
    """Serves DestinationService. `filters` and `weighers` are the ones that options may name.

    Raises ValueError when an option names one that there isn't.
    """

    name = "scheduler"

    def __init__(
        self,
        node: Node,
        options: SchedulerOptions,
        filters: Mapping[str, Callable[[SchedulerOptions], HostFilter]] = FILTERS,
        weighers: Mapping[str, Callable[[SchedulerOptions], HostWeigher]] = WEIGHERS,
    ) -> None:
        parts = Parts(
            filters=[make(options) for make in _named("enabled_filters", options.enabled_filters, filters)],
            weighers=[make(options) for make in _named("weight_classes", options.weight_classes, weighers)],
        )
        self.hosts = HostTable()
        self.selector = selector = Selector(self.hosts, parts, options)
        self._watcher = HostWatcher(lambda: node.channel("conductor"), self.hosts, selector.proposals)
        self._servicer = DestinationServicer(selector, self._watcher.ready)

    def bindings(self) -> Sequence[Binding]:
        """Its one service."""
        service = destination_service_pb2.DESCRIPTOR.services_by_name["DestinationService"]
        return [Binding(service, self._servicer)]

    async def start(self) -> None:
        """Begin to follow the hosts; does not wait for a conductor."""
        self._watcher.start()

    async def stop(self) -> None:
        """Stop following."""
        await self._watcher.stop()


def _named(option: str, names: Sequence[str], known: Mapping[str, T]) -> list[T]:
    for name in names:
        if name not in known:
            raise ValueError(
                f"[filter_scheduler] {option} names {name!r}; there are {', '.join(sorted(known))}"
            )
    return [known[name] for name in names]

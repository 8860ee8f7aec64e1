"""Keeps images with certain properties to the aggregates that have the same."""

from services.scheduler.filters.aggregate_values import values_of
from services.scheduler.filters.kind_cache import KindCache
from services.scheduler.hosts import HostKind, HostTable, Mask
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request


class AggregateImagePropertiesIsolation:
    """Leaves out hosts whose aggregates have a key that is a property of the image, with another value.

    An image without the property goes anywhere. With `aggregate_image_properties_isolation_namespace` only
    keys that begin with it and the separator count.
    """

    name = "AggregateImagePropertiesIsolation"

    def __init__(self, options: SchedulerOptions) -> None:
        namespace = options.aggregate_image_properties_isolation_namespace
        self._prefix = namespace and namespace + options.aggregate_image_properties_isolation_separator
        self._kinds = KindCache(_admits)

    def passing(self, hosts: HostTable, request: Request) -> Mask | None:
        """Hosts that the image may go to."""
        properties = request.image_properties.items()
        wanted = tuple(sorted(one for one in properties if one[1] and one[0].startswith(self._prefix)))
        return self._kinds.mask(hosts, wanted) if wanted else None


def _admits(kind: HostKind, wanted: tuple[tuple[str, str], ...]) -> bool:
    values = values_of(kind)
    return all(key not in values or text in values[key] for key, text in wanted)

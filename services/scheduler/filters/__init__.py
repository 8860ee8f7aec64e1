"""Filters: which hosts may take an instance.

To add one, write a class with the members of `HostFilter`, put what makes it of
the options into a copy of `FILTERS` under its name, give that to `SchedulerRole`
and name it in `enabled_filters`. A filter that compares text should judge each of
`hosts.zones` or `hosts.kinds` once and `spread` the result over the rows.
"""

from collections.abc import Callable, Mapping

from services.scheduler.filters.aggregate_core import AggregateCoreFilter
from services.scheduler.filters.aggregate_disk import AggregateDiskFilter
from services.scheduler.filters.aggregate_image_properties_isolation import AggregateImagePropertiesIsolation
from services.scheduler.filters.aggregate_instance_extra_specs import AggregateInstanceExtraSpecsFilter
from services.scheduler.filters.aggregate_io_ops import AggregateIoOpsFilter
from services.scheduler.filters.aggregate_multi_tenancy_isolation import AggregateMultiTenancyIsolation
from services.scheduler.filters.aggregate_num_instances import AggregateNumInstancesFilter
from services.scheduler.filters.aggregate_ram import AggregateRamFilter
from services.scheduler.filters.aggregate_type_affinity import AggregateTypeAffinityFilter
from services.scheduler.filters.availability_zone import AvailabilityZoneFilter
from services.scheduler.filters.compute import ComputeFilter
from services.scheduler.filters.compute_capabilities import ComputeCapabilitiesFilter
from services.scheduler.filters.core import CoreFilter
from services.scheduler.filters.different_host import DifferentHostFilter
from services.scheduler.filters.disk import DiskFilter
from services.scheduler.filters.image_properties import ImagePropertiesFilter
from services.scheduler.filters.io_ops import IoOpsFilter
from services.scheduler.filters.json_query import JsonFilter
from services.scheduler.filters.num_instances import NumInstancesFilter
from services.scheduler.filters.protocol import HostFilter
from services.scheduler.filters.ram import RamFilter
from services.scheduler.filters.retry import RetryFilter
from services.scheduler.filters.same_host import SameHostFilter
from services.scheduler.filters.server_group_affinity import ServerGroupAffinityFilter
from services.scheduler.filters.server_group_anti_affinity import ServerGroupAntiAffinityFilter
from services.scheduler.filters.simple_cidr_affinity import SimpleCIDRAffinityFilter
from services.scheduler.options import SchedulerOptions


def plain(make: Callable[[], HostFilter]) -> Callable[[SchedulerOptions], HostFilter]:
    """What makes a filter that no option is for."""
    return lambda _: make()


FILTERS: Mapping[str, Callable[[SchedulerOptions], HostFilter]] = {
    "RetryFilter": plain(RetryFilter),
    "AvailabilityZoneFilter": plain(AvailabilityZoneFilter),
    "RamFilter": plain(RamFilter),
    "CoreFilter": plain(CoreFilter),
    "DiskFilter": plain(DiskFilter),
    "ComputeFilter": plain(ComputeFilter),
    "ComputeCapabilitiesFilter": plain(ComputeCapabilitiesFilter),
    "ImagePropertiesFilter": plain(ImagePropertiesFilter),
    "ServerGroupAntiAffinityFilter": plain(ServerGroupAntiAffinityFilter),
    "ServerGroupAffinityFilter": plain(ServerGroupAffinityFilter),
    "SameHostFilter": plain(SameHostFilter),
    "DifferentHostFilter": plain(DifferentHostFilter),
    "SimpleCIDRAffinityFilter": plain(SimpleCIDRAffinityFilter),
    "JsonFilter": plain(JsonFilter),
    "AggregateInstanceExtraSpecsFilter": plain(AggregateInstanceExtraSpecsFilter),
    "AggregateMultiTenancyIsolation": plain(AggregateMultiTenancyIsolation),
    "AggregateTypeAffinityFilter": plain(AggregateTypeAffinityFilter),
    "AggregateCoreFilter": plain(AggregateCoreFilter),
    "AggregateRamFilter": plain(AggregateRamFilter),
    "AggregateDiskFilter": plain(AggregateDiskFilter),
    "AggregateImagePropertiesIsolation": AggregateImagePropertiesIsolation,
    "IoOpsFilter": IoOpsFilter,
    "AggregateIoOpsFilter": AggregateIoOpsFilter,
    "NumInstancesFilter": NumInstancesFilter,
    "AggregateNumInstancesFilter": AggregateNumInstancesFilter,
}

__all__ = ["FILTERS", "HostFilter", "plain"]

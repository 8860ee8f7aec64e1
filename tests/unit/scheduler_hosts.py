"""Hosts for tests of the scheduler."""

from collections.abc import Sequence

from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from services.scheduler.filters import FILTERS
from services.scheduler.hosts import HostTable
from services.scheduler.options import SchedulerOptions
from services.scheduler.selection import Parts, Selector
from services.scheduler.weighers import WEIGHERS


def host(
    name: str, used: HostUsage | None = None, has: HostInventory | None = None, **fields: object
) -> Host:
    """A host of 8 CPUs, 16 GiB and 100 GB without overcommitment, unless other things are said."""
    inventory = HostInventory(
        vcpus=8,
        memory_mb=16384,
        disk_gb=100,
        hypervisor_type="QEMU",
        hypervisor_version=7_002_000,
        cpu_info='{"model": "Haswell", "features": ["aes", "avx"], "topology": {"cores": 4}}',
        supported_instances=["x86_64,qemu,hvm", "i686,qemu,hvm"],
        capabilities=["suspend", "console"],
    )
    if has is not None:
        inventory.MergeFrom(has)
    made = Host(
        name=name,
        availability_zone="nova",
        inventory=inventory,
        usage=used or HostUsage(),
        enabled=True,
        up=True,
        cpu_allocation_ratio=1.0,
        ram_allocation_ratio=1.0,
        disk_allocation_ratio=1.0,
    )
    made.MergeFrom(Host(**fields))  # type: ignore[arg-type]
    return made


def table(*hosts: Host) -> HostTable:
    """A table of these hosts."""
    made = HostTable()
    made.update(hosts)
    return made


def selector(hosts: Sequence[Host], **options: object) -> Selector:
    """A selector over these hosts, repeatable unless a seed is given."""
    settings = SchedulerOptions(**{"seed": 1, **options})  # type: ignore[arg-type]
    parts = Parts(
        [FILTERS[name](settings) for name in settings.enabled_filters],
        [WEIGHERS[name](settings) for name in settings.weight_classes],
    )
    return Selector(table(*hosts), parts, settings)


def spec(*instance_ids: str, flavor: Flavor | None = None, **fields: object) -> RequestSpec:
    """A request for instances of 1 CPU, 512 MiB and 1 GB."""
    return RequestSpec(
        instance_ids=instance_ids,
        flavor=flavor or Flavor(vcpus=1, memory_mb=512, root_gb=1),
        **fields,  # type: ignore[arg-type]
    )

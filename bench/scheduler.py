"""What it costs to choose a host among 1,000, 10,000 and 100,000.

    python -m bench.scheduler [--hosts 1000 10000 100000]

Measured: taking in the first picture of all hosts; taking in one changed host;
selecting one host with three alternates by all default filters, called directly
and through the scheduler's servicer in memory (chain, policy and all); and a
request for 100 instances. `bare` is what numpy takes for the least that any
selection must do: three comparisons of a column, their conjunction and the
largest free memory among what is left.
"""

import argparse
import asyncio
import inspect
import statistics
import time
from collections.abc import AsyncIterator, Callable

import numpy as np
import structlog
import uvloop

from bench.bare import print_bare
from novamesh.conductor.v1 import host_service_pb2
from novamesh.conductor.v1.host_service_pb2 import WatchHostsRequest, WatchHostsResponse
from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec, SelectDestinationsRequest
from novamesh.scheduler.v1.destination_service_pb2_grpc import DestinationServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from services.mesh import Binding, Call
from services.mesh.testing import ServiceRole, local_node
from services.scheduler import SchedulerOptions, SchedulerRole

FLAVOR = Flavor(
    vcpus=1, memory_mb=512, root_gb=1, extra_specs={"capabilities:hypervisor_type": "<or> QEMU <or> KVM"}
)


def make_host(number: int) -> Host:
    """A host in one of three zones, of one of four makes, used to some degree."""
    return Host(
        name=f"host{number:06}",
        availability_zone=f"zone{number % 3}",
        inventory=HostInventory(
            vcpus=64,
            memory_mb=262144,
            disk_gb=2000,
            hypervisor_type="QEMU",
            hypervisor_version=7_002_000 + number % 4,
            cpu_info='{"arch": "x86_64", "model": "Haswell", "features": ["aes", "avx"]}',
            supported_instances=["x86_64,qemu,hvm", "i686,qemu,hvm"],
        ),
        usage=HostUsage(vcpus=number % 64, memory_mb=512 * (number % 500), disk_gb=number % 900),
        enabled=True,
        up=number % 50 != 0,
        cpu_allocation_ratio=16.0,
        ram_allocation_ratio=1.5,
        disk_allocation_ratio=1.0,
    )


class Conductor:
    """Sends all hosts in batches, then what the benchmark asks for."""

    def __init__(self, hosts: list[Host]) -> None:
        self._hosts = hosts
        self.changes: asyncio.Queue[WatchHostsResponse] = asyncio.Queue()

    async def WatchHosts(self, request: WatchHostsRequest, call: Call) -> AsyncIterator[WatchHostsResponse]:
        for start in range(0, len(self._hosts), 1000):
            batch = self._hosts[start : start + 1000]
            yield WatchHostsResponse(
                revision=1, hosts=batch, snapshot_end=start + len(batch) == len(self._hosts)
            )
        while True:
            yield await self.changes.get()


def spec(ids: list[str]) -> RequestSpec:
    """What a boot asks for."""
    return RequestSpec(
        instance_ids=ids,
        flavor=FLAVOR,
        availability_zone="zone1",
        image_properties={"hw_architecture": "x86_64", "hw_vm_mode": "hvm"},
    )


def bare(count: int) -> float:
    """Seconds for the least that numpy must do."""
    limit, used, zone = (np.arange(count, dtype=np.int64) % n for n in (997, 499, 3))
    times = []
    for _ in range(200):
        began = time.perf_counter()
        mask = (used <= limit - 5) & (zone == 1) & (limit >= 5)
        rows = np.flatnonzero(mask)
        (limit[rows] - used[rows]).argmax()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def line(name: str, seconds: float, least: float) -> None:
    """Print one figure."""
    print(f"  {name:<52} {seconds * 1e3:>9.3f} ms   {seconds / least:>8.1f} x bare")


async def timed(times: int, work: Callable[[int], object]) -> float:
    """Median seconds of one call."""
    taken = []
    for n in range(times):
        began = time.perf_counter()
        answer = work(n)
        if inspect.isawaitable(answer):
            await answer
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


async def measure(count: int) -> None:
    """All figures for one number of hosts."""
    hosts = [make_host(n) for n in range(count)]
    conductor = Conductor(hosts)
    service = host_service_pb2.DESCRIPTOR.services_by_name["HostService"]
    least = bare(count)
    print(f"{count:,} hosts (bare: {least * 1e3:.3f} ms)")
    async with local_node(
        ServiceRole("conductor", [Binding(service, conductor)]), identity="conductor"
    ) as node:
        peer = await node.peer("scheduler")
        role = SchedulerRole(peer, SchedulerOptions(seed=1))
        began = time.perf_counter()
        await peer.add(role)
        while len(role.hosts) < count:
            await asyncio.sleep(0.0005)
        line("first picture of all hosts, through the watch", time.perf_counter() - began, least)
        selector = role.selector
        line(
            "a batch of one changed host",
            await timed(200, lambda n: selector.proposals.apply([hosts[n]])),
            least,
        )
        line(
            "one host and 3 alternates, directly",
            await timed(300, lambda n: selector.select(spec([f"a{n}"]), 3, time.monotonic())),
            least,
        )
        stub = DestinationServiceStub(node.channel("scheduler"))
        line(
            "the same through the servicer in memory",
            await timed(
                300,
                lambda n: stub.SelectDestinations(
                    SelectDestinationsRequest(spec=spec([f"b{n}"]), alternates=3)
                ),
            ),
            least,
        )
        line(
            "100 instances in one request, directly",
            await timed(
                5, lambda n: selector.select(spec([f"c{n}-{i}" for i in range(100)]), 3, time.monotonic())
            ),
            least,
        )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    uvloop.run(print_bare())
    for count in arguments.hosts:
        uvloop.run(measure(count))


if __name__ == "__main__":
    main()

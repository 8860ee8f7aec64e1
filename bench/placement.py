"""How long it takes to place an instance, claim included, among 1,000 and 10,000 hosts.

    python -m bench.placement [--hosts 1000 10000] [--instances 50]

A real conductor on SQLite and a real scheduler share a process, as in
`novamesh up`; the hosts are rows, and one fake compute role answers for all of
them. Measured from the call of CreateInstances to the arrival of BuildInstance
at the host: the record, the scheduler's choice, the claim and the ledger's
steps between. Then the same for many at once, as instances a second. `bare` is
one committed write of the database in use.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import structlog
import uvloop

from bench.bare import print_bare
from db import hosts, migrate
from db.connect import connect
from db.database import Connection
from db.schema.base import now
from novamesh.compute.v1 import lifecycle_service_pb2 as lifecycle
from novamesh.conductor.v1.flavor_service_pb2 import CreateFlavorRequest
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, Instance
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor.options import ConductorOptions, QuotaOptions
from services.conductor.role import ConductorRole
from services.mesh import Binding, Call, calling_as
from services.mesh.testing import LocalNode, ServiceRole, local_node
from services.scheduler import SchedulerOptions, SchedulerRole

OPTIONS = ConductorOptions(
    service_down_time=1e6, quota=QuotaOptions(quota_instances=-1, quota_cores=-1, quota_ram=-1)
)


class Compute:
    """Says when builds arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, asyncio.Future[float]] = {}

    def arrival(self, instance_id: str) -> "asyncio.Future[float]":
        """When the build of an instance came."""
        return self.arrived.setdefault(instance_id, asyncio.get_running_loop().create_future())

    async def BuildInstance(
        self, request: lifecycle.BuildInstanceRequest, call: Call
    ) -> lifecycle.BuildInstanceResponse:
        self.arrival(request.instance.id).set_result(time.perf_counter())
        return lifecycle.BuildInstanceResponse(power_state=POWER_STATE_RUNNING)


def register(connection: Connection, count: int, address: str) -> None:
    """Write the hosts' records."""
    at = now()
    for number in range(count):
        inventory = HostInventory(
            vcpus=64,
            memory_mb=262144,
            disk_gb=2000,
            hypervisor_type="QEMU",
            supported_instances=["x86_64,qemu,hvm"],
        )
        request = RegisterHostRequest(
            name=f"host{number:06}",
            address=address,
            inventory=inventory,
            cpu_allocation_ratio=16.0,
            ram_allocation_ratio=1.5,
            disk_allocation_ratio=1.0,
        )
        hosts.register(connection, request, "nova", at)


async def create(node: LocalNode, count: int) -> list[str]:
    """Ask for instances; their ids."""
    request = CreateInstancesRequest(
        request_id=f"req-{uuid.uuid4()}",
        template=Instance(display_name="x"),
        flavor_id="1",
        min_count=count,
        max_count=count,
        no_network=True,
    )
    with calling_as(RequestContext(project_id="p", user_id="u")):
        answer = await InstanceServiceStub(node.channel("conductor")).CreateInstances(request)
    return [instance.id for instance in answer.instances]


async def measure(count: int, instances: int, bare: float) -> None:
    """All figures for one number of hosts."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder)}/novamesh.db"
        migrate.upgrade(url)
        database = connect(url)
        compute = Compute()
        service = lifecycle.DESCRIPTOR.services_by_name["LifecycleService"]
        async with local_node(identity="gateway") as node:
            address = await node.serve(ServiceRole("compute", [Binding(service, compute)]))
            await database.write(lambda c: register(c, count, address))
            conductor = await node.peer("conductor")
            channel = conductor.channel_to(address, "compute")
            # One compute role stands for all hosts, which the mesh would refuse: it isn't certified for them.
            setattr(conductor, "channel_to", lambda *_: channel)  # noqa: B010
            await conductor.add(ConductorRole(conductor, OPTIONS, database))
            scheduler = await node.peer("scheduler")
            role = SchedulerRole(scheduler, SchedulerOptions(seed=1))
            await scheduler.add(role)
            flavor = Flavor(id="1", name="tiny", vcpus=1, memory_mb=512, root_gb=1, is_public=True)
            flavors = FlavorServiceStub(node.channel("conductor"))
            await flavors.CreateFlavor(CreateFlavorRequest(flavor=flavor))
            while len(role.hosts) < count:
                await asyncio.sleep(0.01)
            taken = []
            for _ in range(instances):
                began = time.perf_counter()
                [instance_id] = await create(node, 1)
                taken.append(await compute.arrival(instance_id) - began)
                await asyncio.sleep(0.02)
            began = time.perf_counter()
            asked = await asyncio.gather(*(create(node, 1) for _ in range(200)))
            arrived = [await compute.arrival(ids[0]) for ids in asked]
            rate = 200 / (max(arrived) - began)
        await database.close()
    median, worst = statistics.median(taken), sorted(taken)[int(len(taken) * 0.95)]
    print(
        f"{count:>7,} hosts: one instance p50 {median * 1e3:.2f} ms, p95 {worst * 1e3:.2f} ms"
        f" ({median * bare:.1f} commits); 200 at once {rate:,.0f} placed/s"
    )


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--instances", type=int, default=50)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    bare = uvloop.run(print_bare()).commits
    for count in arguments.hosts:
        uvloop.run(measure(count, arguments.instances, bare))


if __name__ == "__main__":
    main()

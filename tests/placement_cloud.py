"""A real conductor on SQLite, schedulers and compute hosts with fake drivers, each a node of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from db.connect import connect
from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions
from novamesh.conductor.v1.flavor_service_pb2 import CreateFlavorRequest
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2 import (
    CreateInstancesRequest,
    InstanceFilter,
    ListInstancesRequest,
)
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OPERATION_KIND_DELETE
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.compute import ComputeOptions, ComputeRole
from services.conductor.options import ConductorOptions, QuotaOptions
from services.conductor.role import ConductorRole
from services.mesh import calling_as
from services.mesh.testing import LocalNode, local_node
from services.scheduler import SchedulerOptions, SchedulerRole
from tests.schema import make_schema

if TYPE_CHECKING:
    from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceAsyncStub

PROJECT, USER = "project-1", "user-1"
CONDUCTOR = ConductorOptions(
    retry_interval=0.02,
    max_retry_interval=0.2,
    sweep_interval=0.1,
    poll_interval=0.1,
    quota=QuotaOptions(quota_instances=-1, quota_cores=-1, quota_ram=-1),
)
COMPUTE = ComputeOptions(
    cpu_allocation_ratio=1.0,
    ram_allocation_ratio=1.0,
    reserved_host_memory_mb=0,
    sync_power_state_interval=0,
)


@dataclass
class PlacementCloud:
    """The cloud as a gateway sees it, and its hosts' drivers by name."""

    node: LocalNode
    drivers: dict[str, FakeDriver] = field(default_factory=dict)
    computes: dict[str, ComputeRole] = field(default_factory=dict)
    schedulers: list[SchedulerRole] = field(default_factory=list)

    @property
    def instances(self) -> "InstanceServiceAsyncStub":
        return InstanceServiceStub(self.node.channel("conductor"))

    async def add_host(self, name: str, options: FakeOptions) -> None:
        """Start a compute host."""
        peer = await self.node.peer("compute", name)
        self.drivers[name] = FakeDriver(options)
        self.computes[name] = ComputeRole(peer, COMPUTE, self.drivers[name])
        await peer.add(self.computes[name])

    async def hosts(self) -> Sequence[Host]:
        """All hosts' records."""
        stub = HostServiceStub(self.node.channel("conductor"))
        return (await stub.ListHosts(ListHostsRequest())).hosts

    async def flavor(self, vcpus: int) -> Flavor:
        """A new flavor."""
        stub = FlavorServiceStub(self.node.channel("conductor"))
        name = f"f{uuid.uuid4().hex[:6]}"
        flavor = Flavor(id=name, name=name, vcpus=vcpus, memory_mb=64, root_gb=1, is_public=True)
        return (await stub.CreateFlavor(CreateFlavorRequest(flavor=flavor))).flavor

    async def create(self, flavor: Flavor, count: int = 1) -> list[str]:
        """Ask for instances without network cards; their ids."""
        request = CreateInstancesRequest(
            request_id=f"req-{uuid.uuid4()}",
            template=Instance(display_name="x"),
            flavor_id=flavor.id,
            min_count=count,
            max_count=count,
            no_network=True,
        )
        with calling_as(RequestContext(project_id=PROJECT, user_id=USER)):
            answer = await self.instances.CreateInstances(request)
        return [instance.id for instance in answer.instances]

    async def delete(self, instance_id: str) -> None:
        """Ask for an instance's end."""
        request = StartOperationRequest(
            request_id=f"req-{uuid.uuid4()}", instance_id=instance_id, kind=OPERATION_KIND_DELETE
        )
        await OperationServiceStub(self.node.channel("conductor")).StartOperation(request)

    async def settled(self) -> list[Instance]:
        """All instances, once none has a task under way."""
        async with asyncio.timeout(60):
            while True:
                found: list[Instance] = []
                request = ListInstancesRequest(filter=InstanceFilter(project_id=PROJECT))
                while True:
                    answer = await self.instances.ListInstances(request)
                    found += answer.instances
                    if not answer.next_page_token:
                        break
                    request = ListInstancesRequest(filter=request.filter, page_token=answer.next_page_token)
                if not any(instance.task_state for instance in found):
                    return found
                await asyncio.sleep(0.02)


@asynccontextmanager
async def placement_cloud(
    folder: Path, brains: int, hosts: dict[str, FakeOptions]
) -> AsyncIterator[PlacementCloud]:
    """A running cloud with so many conductors and schedulers each, whose hosts are registered."""
    url = f"sqlite:///{folder}/novamesh.db"
    await asyncio.to_thread(make_schema, url)
    databases = [connect(url) for _ in range(brains)]
    try:
        async with local_node(identity="gateway", wire=True) as node:
            cloud = PlacementCloud(node)
            for number, database in enumerate(databases):
                conductor = await node.peer("conductor", f"conductor{number}")
                await conductor.add(ConductorRole(conductor, CONDUCTOR, database))
            for name, options in hosts.items():
                await cloud.add_host(name, options)
            async with asyncio.timeout(30):
                while len(await cloud.hosts()) < len(hosts):
                    await asyncio.sleep(0.01)
            for number in range(brains):
                peer = await node.peer("scheduler", f"scheduler{number}")
                role = SchedulerRole(peer, SchedulerOptions(seed=number))
                await peer.add(role)
                cloud.schedulers.append(role)
            yield cloud
    finally:
        for database in databases:
            await database.close()

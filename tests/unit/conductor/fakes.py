"""A conductor with its neighbours faked: servicers of compute, network and scheduler that remember what was
asked."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from db.connect import connect
from db.database import Database, DatabaseOptions
from novamesh.compute.v1 import lifecycle_service_pb2 as lifecycle
from novamesh.conductor.v1.flavor_service_pb2 import CreateFlavorRequest
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2 import (
    CreateInstancesRequest,
    GetInstanceRequest,
    NetworkRequest,
)
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.network_service_pb2 import CreateNetworkRequest
from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceStub
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.errors.v1.errors_pb2 import FilterRefusal
from novamesh.network.v1 import interface_service_pb2 as plugging
from novamesh.scheduler.v1 import destination_service_pb2 as destinations
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState, VmState
from novamesh.types.v1.network_pb2 import Network
from novamesh.types.v1.operation_pb2 import Operation, OperationArguments, OperationKind
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor.options import ConductorOptions, QuotaOptions
from services.conductor.role import ConductorRole
from services.mesh import Binding, Call, calling_as
from services.mesh.testing import LocalNode, ServiceRole, local_node
from tests.schema import make_schema

RUNNING = PowerState.POWER_STATE_RUNNING
PROJECT, USER = "project-1", "user-1"
OPTIONS = ConductorOptions(
    retry_interval=0.02,
    max_retry_interval=0.1,
    sweep_interval=0.05,
    poll_interval=0.05,
    watch_interval=0.002,
    operation_lease=3.0,
    quota=QuotaOptions(quota_instances=-1, quota_cores=-1, quota_ram=-1),
)


class FakeCompute:
    """Guests in a dict; failures and delays on demand."""

    def __init__(self) -> None:
        self.guests: dict[str, int] = {}
        self.calls: list[tuple[str, str]] = []
        # Raised by the next calls of that name, one each.
        self.failures: dict[str, list[Exception]] = {}
        # A call of that name waits for the event.
        self.gates: dict[str, asyncio.Event] = {}
        self.entered = asyncio.Event()

    async def _step(self, name: str, request: Any) -> None:
        self.calls.append((name, request.instance.id))
        self.entered.set()
        if name in self.gates:
            await self.gates[name].wait()
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def count(self, name: str) -> int:
        """How often that was called."""
        return Counter(call for call, _ in self.calls)[name]

    async def BuildInstance(
        self, request: lifecycle.BuildInstanceRequest, call: Call
    ) -> lifecycle.BuildInstanceResponse:
        await self._step("build", request)
        self.guests[request.instance.id] = RUNNING
        return lifecycle.BuildInstanceResponse(power_state=RUNNING, root_device_name="/dev/vda")

    async def DeleteInstance(
        self, request: lifecycle.DeleteInstanceRequest, call: Call
    ) -> lifecycle.DeleteInstanceResponse:
        await self._step("delete", request)
        self.guests.pop(request.instance.id, None)
        return lifecycle.DeleteInstanceResponse()

    async def StartInstance(
        self, request: lifecycle.StartInstanceRequest, call: Call
    ) -> lifecycle.StartInstanceResponse:
        await self._step("start", request)
        return lifecycle.StartInstanceResponse(power_state=RUNNING)

    async def StopInstance(
        self, request: lifecycle.StopInstanceRequest, call: Call
    ) -> lifecycle.StopInstanceResponse:
        await self._step("stop", request)
        return lifecycle.StopInstanceResponse(power_state=PowerState.POWER_STATE_SHUTDOWN)

    async def RebootInstance(
        self, request: lifecycle.RebootInstanceRequest, call: Call
    ) -> lifecycle.RebootInstanceResponse:
        await self._step("reboot", request)
        return lifecycle.RebootInstanceResponse(power_state=RUNNING)

    async def PauseInstance(
        self, request: lifecycle.PauseInstanceRequest, call: Call
    ) -> lifecycle.PauseInstanceResponse:
        await self._step("pause", request)
        return lifecycle.PauseInstanceResponse(power_state=PowerState.POWER_STATE_PAUSED)

    async def UnpauseInstance(
        self, request: lifecycle.UnpauseInstanceRequest, call: Call
    ) -> lifecycle.UnpauseInstanceResponse:
        await self._step("unpause", request)
        return lifecycle.UnpauseInstanceResponse(power_state=RUNNING)

    async def SuspendInstance(
        self, request: lifecycle.SuspendInstanceRequest, call: Call
    ) -> lifecycle.SuspendInstanceResponse:
        await self._step("suspend", request)
        return lifecycle.SuspendInstanceResponse(power_state=PowerState.POWER_STATE_SUSPENDED)

    async def ResumeInstance(
        self, request: lifecycle.ResumeInstanceRequest, call: Call
    ) -> lifecycle.ResumeInstanceResponse:
        await self._step("resume", request)
        return lifecycle.ResumeInstanceResponse(power_state=RUNNING)


class FakeNetwork:
    """Plugged cards by id."""

    def __init__(self) -> None:
        self.plugged: dict[str, str] = {}
        # Hosts that cards were taken back from.
        self.cleared: list[str] = []

    async def PlugInterfaces(
        self, request: plugging.PlugInterfacesRequest, call: Call
    ) -> plugging.PlugInterfacesResponse:
        self.plugged.update({card.id: card.address for card in request.interfaces})
        return plugging.PlugInterfacesResponse()

    async def UnplugInterfaces(
        self, request: plugging.UnplugInterfacesRequest, call: Call
    ) -> plugging.UnplugInterfacesResponse:
        for card in request.interfaces:
            self.plugged.pop(card.id, None)
            self.cleared.append(card.host)
        return plugging.UnplugInterfacesResponse()


class FakeScheduler:
    """Proposes the hosts it was given, in turn, without those tried before."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.requests: list[destinations.SelectDestinationsRequest] = []
        self.failures: list[Exception] = []
        # So many answers say that there is no room.
        self.full = 0

    async def SelectDestinations(
        self, request: destinations.SelectDestinationsRequest, call: Call
    ) -> destinations.SelectDestinationsResponse:
        self.requests.append(request)
        if self.failures:
            raise self.failures.pop(0)
        names = [name for name in self.names if name not in request.spec.tried_hosts]
        if self.full:
            self.full -= 1
            names = []
        answer = destinations.SelectDestinationsResponse()
        for index, instance_id in enumerate(request.spec.instance_ids):
            turn = [names[(index + i) % len(names)] for i in range(min(len(names), 1 + request.alternates))]
            refusal = FilterRefusal(filter="RetryFilter", before=len(self.names), after=0)
            answer.destinations.append(
                destinations.Destination(
                    instance_id=instance_id, hosts=turn, refusals=() if turn else (refusal,)
                )
            )
        return answer


@dataclass
class Cloud:
    """Everything that a test touches."""

    node: LocalNode
    role: ConductorRole
    database: Database
    computes: dict[str, FakeCompute]
    scheduler: FakeScheduler
    network: FakeNetwork
    network_id: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def instances(self) -> Any:
        """Stub."""
        return InstanceServiceStub(self.node.channel("conductor"))

    @property
    def operations(self) -> Any:
        """Stub."""
        return OperationServiceStub(self.node.channel("conductor"))

    async def create(
        self, count: int = 1, *, address: str = "", request_id: str = "", **template: Any
    ) -> list[Instance]:
        """Ask for instances, as the gateway does."""
        request = CreateInstancesRequest(
            request_id=request_id or f"req-{uuid.uuid4()}",
            template=Instance(display_name="vm", image_id="image-1", **template),
            flavor_id="1",
            min_count=count,
            max_count=count,
            networks=[NetworkRequest(address=address)] if address else (),
        )
        with calling_as(RequestContext(project_id=PROJECT, user_id=USER)):
            return list((await self.instances.CreateInstances(request)).instances)

    async def get(self, instance_id: str) -> Instance:
        """One instance, deleted or not."""
        answer = await self.instances.GetInstance(GetInstanceRequest(id=instance_id, read_deleted=True))
        instance: Instance = answer.instance
        return instance

    async def settle(self, instance_id: str) -> Instance:
        """The instance once nothing is under way on it."""
        async with asyncio.timeout(20):
            while True:
                instance = await self.get(instance_id)
                if instance.task_state == TaskState.TASK_STATE_UNSPECIFIED:
                    return instance
                await asyncio.sleep(0.005)

    async def active(self, count: int = 1, **template: Any) -> list[Instance]:
        """Instances that have been built."""
        made = await self.create(count, **template)
        done = [await self.settle(one.id) for one in made]
        assert all(one.vm_state == VmState.VM_STATE_ACTIVE for one in done), done
        return done

    async def start(
        self, instance_id: str, kind: int, arguments: OperationArguments | None = None, *, admin: bool = False
    ) -> Operation:
        """Ask for work."""
        request = StartOperationRequest(
            request_id=f"req-{uuid.uuid4()}",
            instance_id=instance_id,
            kind=kind,  # type: ignore[arg-type]
            arguments=arguments,
        )
        with calling_as(RequestContext(project_id=PROJECT, user_id=USER, is_admin=admin)):
            operation: Operation = (await self.operations.StartOperation(request)).operation
            return operation

    async def delete(self, instance_id: str) -> Operation:
        """Ask for a delete."""
        return await self.start(instance_id, OperationKind.OPERATION_KIND_DELETE)


def binding(module: Any, name: str, servicer: object) -> Binding:
    """A binding by the names in the generated module."""
    return Binding(module.DESCRIPTOR.services_by_name[name], servicer)


async def register(node: LocalNode, name: str, address: str, network_address: str, **inventory: int) -> None:
    """A compute host announces itself, from a node certified for it."""
    peer = await node.peer("compute", name)
    size = {"vcpus": 8, "memory_mb": 16384, "disk_gb": 100, "disk_available_gb": 90} | inventory
    await HostServiceStub(peer.channel("conductor")).RegisterHost(
        RegisterHostRequest(
            name=name,
            address=address,
            network_address=network_address,
            inventory=HostInventory(hypervisor_hostname=name, **size),  # type: ignore[arg-type]
            cpu_allocation_ratio=16,
            ram_allocation_ratio=1.5,
            disk_allocation_ratio=1,
        )
    )


@asynccontextmanager
async def database_at(url: str, options: DatabaseOptions | None = None) -> AsyncIterator[Database]:
    """A database with its schema."""
    make_schema(url)
    database = connect(url, options or DatabaseOptions(synchronous="OFF"))
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def cloud_at(
    url: str,
    hosts: Sequence[str] = ("host1", "host2"),
    options: ConductorOptions = OPTIONS,
    cidr: str = "10.0.0.0/24",
    durable: DatabaseOptions | None = None,
    inventory: Mapping[str, int] | None = None,
) -> AsyncIterator[Cloud]:
    """A conductor on the database at `url`, with hosts, a flavor `1` and a network `private`."""
    async with database_at(url, durable) as database, local_node() as node:
        conductor = await node.peer("conductor")
        role = ConductorRole(conductor, options, database)
        await conductor.add(role)
        scheduler, network = FakeScheduler(hosts), FakeNetwork()
        await node.serve(ServiceRole("scheduler", [binding(destinations, "DestinationService", scheduler)]))
        computes = {name: FakeCompute() for name in hosts}
        for name, compute in computes.items():
            address = await node.serve(
                ServiceRole("compute", [binding(lifecycle, "LifecycleService", compute)]), name
            )
            network_address = await node.serve(
                ServiceRole("network", [binding(plugging, "InterfaceService", network)]), name
            )
            await register(node, name, address, network_address, **(inventory or {}))
        await FlavorServiceStub(node.channel("conductor")).CreateFlavor(
            CreateFlavorRequest(
                flavor=Flavor(id="1", name="m1.tiny", vcpus=1, memory_mb=512, root_gb=1, is_public=True)
            )
        )
        made = await NetworkServiceStub(node.channel("conductor")).CreateNetwork(
            CreateNetworkRequest(network=Network(label="private", cidr=cidr))
        )
        yield Cloud(node, role, database, computes, scheduler, network, made.network.id)


def sqlite_url(folder: Path) -> str:
    """A database file in that folder."""
    return f"sqlite:///{folder}/novamesh.db"


def with_quota(**limits: int) -> ConductorOptions:
    """The tests' options with other limits."""
    return replace(OPTIONS, quota=QuotaOptions(**{f"quota_{name}": value for name, value in limits.items()}))

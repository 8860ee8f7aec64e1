"""A conductor and compute hosts in memory, for tests of the compute role."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from drivers.virt import Driver
from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions
from novamesh.compute.v1.console_service_pb2_grpc import ConsoleServiceStub
from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_RUNNING,
    TASK_STATE_SPAWNING,
    VM_STATE_ACTIVE,
    VM_STATE_BUILDING,
    Instance,
)
from services.compute import ComputeOptions, ComputeRole
from services.mesh import Node
from services.mesh.testing import LocalNode, local_node
from tests.conductor_double import ConductorDouble

if TYPE_CHECKING:
    from novamesh.compute.v1.console_service_pb2_grpc import ConsoleServiceAsyncStub
    from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceAsyncStub

DriverT = TypeVar("DriverT", bound=Driver)


@dataclass
class ComputeHost(Generic[DriverT]):
    """One host as a conductor reaches it."""

    name: str
    role: ComputeRole
    driver: DriverT
    address: str
    lifecycle: "LifecycleServiceAsyncStub"

    def console_as(self, node: Node) -> "ConsoleServiceAsyncStub":
        """Its consoles, for another caller."""
        return ConsoleServiceStub(node.channel_to(self.address, "compute", self.name))


@dataclass
class ComputeCloud:
    """A conductor, and hosts as tests add them."""

    node: LocalNode
    conductor: ConductorDouble = field(default_factory=ConductorDouble)

    async def host(
        self,
        name: str = "host1",
        driver: FakeDriver | None = None,
        options: ComputeOptions | None = None,
    ) -> ComputeHost[FakeDriver]:
        """Start a compute host with a fake driver. Its periodic comparisons are left to the test."""
        return await self.host_of(driver or FakeDriver(FakeOptions()), name, options)

    async def host_of(
        self, driver: DriverT, name: str = "host1", options: ComputeOptions | None = None
    ) -> ComputeHost[DriverT]:
        """Start a compute host with any driver."""
        peer = await self.node.peer("compute", name)
        role = ComputeRole(peer, options or ComputeOptions(sync_power_state_interval=0), driver)
        address = await peer.add(role)
        channel = self.node.channel_to(address, "compute", name)
        # A libvirtd that was never asked before looks at every QEMU first.
        await until(lambda: name in self.conductor.hosts or self.conductor.away, patience=120.0)
        return ComputeHost(name, role, driver, address, LifecycleServiceStub(channel))


@asynccontextmanager
async def compute_cloud(
    wire: bool = False, conductor: ConductorDouble | None = None
) -> AsyncIterator[ComputeCloud]:
    """A cloud with a conductor only; the test calls as the conductor."""
    conductor = conductor or ConductorDouble()
    async with local_node(conductor.role(), identity="conductor", wire=wire) as node:
        yield ComputeCloud(node, conductor)


def building(instance_id: str, host: str = "host1") -> Instance:
    """An instance whose build is under way."""
    return Instance(
        id=instance_id,
        host=host,
        vm_state=VM_STATE_BUILDING,
        task_state=TASK_STATE_SPAWNING,
        flavor=Flavor(vcpus=1, memory_mb=512, root_gb=1),
    )


def active(instance_id: str, host: str = "host1") -> Instance:
    """An instance that runs."""
    return Instance(id=instance_id, host=host, vm_state=VM_STATE_ACTIVE, power_state=POWER_STATE_RUNNING)


async def until(condition: Callable[[], bool], patience: float = 10.0) -> None:
    """Wait for what happens elsewhere in this process, at most `patience` seconds."""
    async with asyncio.timeout(patience):
        while not condition():
            await asyncio.sleep(0.005)

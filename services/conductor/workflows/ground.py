"""What every workflow stands on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from db import hosts, instances, interfaces, leases
from db.database import Connection, Database
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from novamesh.failures import NotFoundError
from novamesh.network.v1.interface_service_pb2 import PlugInterfacesRequest, UnplugInterfacesRequest
from novamesh.network.v1.interface_service_pb2_grpc import InterfaceServiceStub
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings
from services.conductor.endings import Ending, OvertakenError
from services.conductor.feed import Feeds
from services.conductor.hearing import Hearing
from services.conductor.options import ConductorOptions
from services.mesh import Node

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceAsyncStub


@dataclass(frozen=True)
class Ground:
    """Database, mesh and feeds of one conductor, with the few steps that workflows share."""

    node: Node
    database: Database
    options: ConductorOptions
    feeds: Feeds
    hearing: Hearing
    owner: str

    async def read(self, instance_id: str) -> tuple[Instance, Host | None]:
        """The instance with its interfaces, and the host that it is on; None for none, or one without a
        record.

        Raises NotFoundError for the instance.
        """
        up_since = self.hearing.up_since(now())

        def work(connection: Connection) -> tuple[Instance, Host | None]:
            instance = interfaces.attach(connection, instances.get(connection, instance_id))
            if not instance.host:
                return instance, None
            try:
                return instance, hosts.get(connection, instance.host, up_since)
            except NotFoundError:
                return instance, None

        return await self.database.read(work)

    async def host(self, name: str) -> Host | None:
        """A host's record; None for none."""
        up_since = self.hearing.up_since(now())
        found = await self.database.read(lambda c: hosts.get_many(c, [name], up_since))
        return found[0] if found else None

    def is_up(self, connection: Connection, host: str, at: datetime) -> bool:
        """True when a host has a record and a heartbeat."""
        try:
            return hosts.get(connection, host, self.hearing.up_since(at)).up
        except NotFoundError:
            return False

    def lifecycle(self, host: Host) -> "LifecycleServiceAsyncStub":
        """The compute role of a host."""
        return LifecycleServiceStub(self.node.channel_to(host.address, "compute", host.name))

    async def plug(self, instance: Instance, host: Host) -> None:
        """Make the host ready for the instance's network cards."""
        if host.network_address and instance.interfaces:
            stub = InterfaceServiceStub(self.node.channel_to(host.network_address, "network", host.name))
            await stub.PlugInterfaces(
                PlugInterfacesRequest(interfaces=instance.interfaces), timeout=self.options.call_timeout
            )

    async def unplug(self, instance: Instance, host: Host) -> None:
        """Take that back."""
        if host.network_address and instance.interfaces:
            stub = InterfaceServiceStub(self.node.channel_to(host.network_address, "network", host.name))
            await stub.UnplugInterfaces(
                UnplugInterfacesRequest(interfaces=instance.interfaces), timeout=self.options.call_timeout
            )

    async def advance(
        self, work: Work, change: Callable[[Connection, Instance], None], *, host: str = ""
    ) -> Instance:
        """Change the instance in the middle of an operation, and keep what the next attempt is to know.

        Returns the instance with its interfaces. Raises OvertakenError, with nothing written. `host` is one
        whose claims changed.
        """
        at = now()

        def write(connection: Connection) -> Instance:
            instance = instances.lock(connection, work.operation.instance_id)
            if not leases.remember(connection, work, self.owner, at):
                raise OvertakenError()
            change(connection, instance)
            instances.save(connection, instance, at)
            return interfaces.attach(connection, instance)

        instance = await self.database.write(write)
        self.feeds.instances.touch([instance.id])
        if host:
            self.feeds.hosts.touch([host])
        return instance

    async def end(self, ending: Ending, *, host: str = "") -> Instance:
        """Write an ending and tell the watchers. `host` is one whose claims changed."""
        instance = await self.database.write(lambda c: endings.write(c, ending))
        self.feeds.instances.touch([instance.id])
        if host:
            self.feeds.hosts.touch([host])
        return instance

"""The other roles, as the handlers of the Compute API call them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.compute.host_directory import HostDirectory
from gateway.options import GatewayOptions
from gateway.requests import ApiRequest
from novamesh.conductor.v1.aggregate_service_pb2_grpc import AggregateServiceStub
from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceStub
from novamesh.conductor.v1.guest_service_pb2_grpc import GuestServiceStub
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.keypair_service_pb2_grpc import KeypairServiceStub
from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceStub
from novamesh.conductor.v1.node_service_pb2_grpc import NodeServiceStub
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.conductor.v1.password_service_pb2_grpc import PasswordServiceStub
from novamesh.conductor.v1.quota_service_pb2_grpc import QuotaServiceStub
from novamesh.conductor.v1.server_group_service_pb2_grpc import ServerGroupServiceStub
from novamesh.conductor.v1.usage_service_pb2_grpc import UsageServiceStub
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from services.mesh import Node

if TYPE_CHECKING:  # the stubs' asyncio faces exist for type checkers only
    from novamesh.conductor.v1.aggregate_service_pb2_grpc import AggregateServiceAsyncStub
    from novamesh.conductor.v1.flavor_service_pb2_grpc import FlavorServiceAsyncStub
    from novamesh.conductor.v1.guest_service_pb2_grpc import GuestServiceAsyncStub
    from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceAsyncStub
    from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceAsyncStub
    from novamesh.conductor.v1.keypair_service_pb2_grpc import KeypairServiceAsyncStub
    from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceAsyncStub
    from novamesh.conductor.v1.network_service_pb2_grpc import NetworkServiceAsyncStub
    from novamesh.conductor.v1.node_service_pb2_grpc import NodeServiceAsyncStub
    from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceAsyncStub
    from novamesh.conductor.v1.password_service_pb2_grpc import PasswordServiceAsyncStub
    from novamesh.conductor.v1.quota_service_pb2_grpc import QuotaServiceAsyncStub
    from novamesh.conductor.v1.server_group_service_pb2_grpc import ServerGroupServiceAsyncStub
    from novamesh.conductor.v1.usage_service_pb2_grpc import UsageServiceAsyncStub
    from novamesh.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Backends:
    """Stubs of the services that the Compute API stands on, made once."""

    node: Node
    options: GatewayOptions
    instances: InstanceServiceAsyncStub
    operations: OperationServiceAsyncStub
    guests: GuestServiceAsyncStub
    flavors: FlavorServiceAsyncStub
    keypairs: KeypairServiceAsyncStub
    networks: NetworkServiceAsyncStub
    quotas: QuotaServiceAsyncStub
    server_groups: ServerGroupServiceAsyncStub
    usages: UsageServiceAsyncStub
    aggregates: AggregateServiceAsyncStub
    host_records: HostServiceAsyncStub
    nodes: NodeServiceAsyncStub
    passwords: PasswordServiceAsyncStub
    migrations: MigrationServiceAsyncStub
    images: ImageServiceAsyncStub
    hosts: HostDirectory

    @property
    def timeout(self) -> float:
        """Seconds that one call may take."""
        return self.options.rpc_timeout


ComputeRequest = ApiRequest[Backends]


def connect(node: Node, options: GatewayOptions) -> Backends:
    """Stubs on the node's channels to the conductor and to image."""
    conductor = node.channel("conductor")
    host_records = HostServiceStub(conductor)
    return Backends(
        node=node,
        options=options,
        instances=InstanceServiceStub(conductor),
        operations=OperationServiceStub(conductor),
        guests=GuestServiceStub(conductor),
        flavors=FlavorServiceStub(conductor),
        keypairs=KeypairServiceStub(conductor),
        networks=NetworkServiceStub(conductor),
        quotas=QuotaServiceStub(conductor),
        server_groups=ServerGroupServiceStub(conductor),
        usages=UsageServiceStub(conductor),
        aggregates=AggregateServiceStub(conductor),
        host_records=host_records,
        nodes=NodeServiceStub(conductor),
        passwords=PasswordServiceStub(conductor),
        migrations=MigrationServiceStub(conductor),
        images=ImageServiceStub(node.channel("image")),
        hosts=HostDirectory(host_records, options),
    )

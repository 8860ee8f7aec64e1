"""What every workflow begins with that works on one instance, on its host."""

from typing import TYPE_CHECKING

from db.operations import Work
from novamesh.compute.v1.guest_service_pb2_grpc import GuestServiceStub
from novamesh.failures import NotFoundError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import states
from services.conductor.endings import OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.workflows.ground import Ground

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.guest_service_pb2_grpc import GuestServiceAsyncStub


async def locate(ground: Ground, work: Work) -> tuple[Instance, Host]:
    """The instance with its interfaces, and its host, which is up and written into the operation.

    Raises OvertakenError for a deleted instance, NotFoundError for one on no host, and HostDownError.
    """
    instance, host = await ground.read(work.operation.instance_id)
    if instance.vm_state == states.DELETED:
        raise OvertakenError()
    if host is None:
        raise NotFoundError("host", instance.host, f"Instance {instance.id} is on no host.")
    work.operation.host = host.name
    if not host.up:
        raise HostDownError(host.name)
    return instance, host


def guests(ground: Ground, host: Host) -> "GuestServiceAsyncStub":
    """What else the compute role of a host does to guests."""
    return GuestServiceStub(ground.node.channel_to(host.address, "compute", host.name))

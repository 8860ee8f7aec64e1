"""`novamesh status`: what runs."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from google.protobuf.timestamp_pb2 import Timestamp
from rich.markup import escape
from rich.table import Table

from cli.administrator import call
from cli.options import config_options, load
from cli.tables import WIDE, open_console, table
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest, ListHostsResponse
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2 import ListInstancesRequest, ListInstancesResponse
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.node_service_pb2 import ListNodesRequest, ListNodesResponse
from novamesh.conductor.v1.node_service_pb2_grpc import NodeServiceStub
from novamesh.conductor.v1.operation_service_pb2 import ListOperationsRequest, ListOperationsResponse
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState, VmState
from novamesh.types.v1.operation_pb2 import Operation, OperationKind, OperationState
from services.mesh import Node

SHOWN_INSTANCES = 20
SHOWN_OPERATIONS = 10
# Other pairs of state and power are worth a remark.
EXPECTED_POWER = {
    VmState.VM_STATE_ACTIVE: (PowerState.POWER_STATE_RUNNING,),
    VmState.VM_STATE_PAUSED: (PowerState.POWER_STATE_PAUSED,),
    VmState.VM_STATE_STOPPED: (PowerState.POWER_STATE_SHUTDOWN,),
    VmState.VM_STATE_SUSPENDED: (PowerState.POWER_STATE_SUSPENDED, PowerState.POWER_STATE_SHUTDOWN),
}
UNDER_WAY = (OperationState.OPERATION_STATE_PENDING, OperationState.OPERATION_STATE_RUNNING)


@dataclass(frozen=True)
class Picture:
    """What the conductor says."""

    nodes: ListNodesResponse
    hosts: ListHostsResponse
    instances: ListInstancesResponse
    operations: ListOperationsResponse


async def ask(node: Node) -> Picture:
    """Ask the conductor for everything at once."""
    conductor = node.channel("conductor")
    return Picture(
        *await asyncio.gather(
            NodeServiceStub(conductor).ListNodes(ListNodesRequest()),
            HostServiceStub(conductor).ListHosts(ListHostsRequest()),
            InstanceServiceStub(conductor).ListInstances(ListInstancesRequest(page_size=SHOWN_INSTANCES)),
            OperationServiceStub(conductor).ListOperations(ListOperationsRequest(page_size=SHOWN_OPERATIONS)),
        )
    )


def short(enumeration_name: str, prefix: str) -> str:
    """A state as Nova writes it; a hyphen for none."""
    name = enumeration_name.removeprefix(prefix).lower()
    return "-" if name == "unspecified" else name


def up(value: bool) -> str:
    """Up or down, in its colour."""
    return "[green]up[/]" if value else "[red]down[/]"


def ago(time: Timestamp, present: datetime) -> str:
    """How long ago, in the largest unit that gives at least two of it."""
    seconds = max(0, round((present - time.ToDatetime(UTC)).total_seconds()))
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"


def nodes_table(picture: Picture) -> Table:
    """Each role on each host."""
    made = table("Roles", "role", "host", "address", "state", "last report")
    present = datetime.now(UTC)
    for node in picture.nodes.nodes:
        reported = ago(node.reported_at, present)
        made.add_row(node.role, node.host, node.address or "-", up(node.up), reported)
    return made


def hosts_table(picture: Picture) -> Table:
    """Each compute host with its claims."""
    made = table("Hosts", "name", "state", "hypervisor", "instances", "vcpus", "memory GiB", "disk GiB")
    for host in picture.hosts.hosts:
        state = up(host.up) if host.enabled else f"{up(host.up)}, disabled"
        made.add_row(
            host.name,
            state,
            host.inventory.hypervisor_type,
            str(host.usage.instances),
            f"{host.usage.vcpus} of {host.inventory.vcpus}",
            f"{host.usage.memory_mb / 1024:.1f} of {host.inventory.memory_mb / 1024:.1f}",
            f"{host.usage.disk_gb} of {host.inventory.disk_gb}",
        )
    return made


def state_of(instance: Instance) -> str:
    """What the instance is, what is being done with it, and what the guest really is where that differs."""
    state = short(VmState.Name(instance.vm_state), "VM_STATE_")
    task = short(TaskState.Name(instance.task_state), "TASK_STATE_")
    power = short(PowerState.Name(instance.power_state), "POWER_STATE_")
    if task != "-":
        return f"{state}, {task}"
    if instance.vm_state in EXPECTED_POWER and instance.power_state not in EXPECTED_POWER[instance.vm_state]:
        return f"{state}, but power is {power}"
    return state


def instances_table(picture: Picture) -> Table:
    """The newest instances."""
    made = table("Instances (newest first)", "id", "name", "state", "host", "addresses")
    for instance in picture.instances.instances:
        made.add_row(
            instance.id,
            escape(instance.display_name),
            state_of(instance),
            instance.host or "-",
            ", ".join(i.address for i in instance.interfaces) or "-",
        )
    return made


def operations_table(operations: list[Operation], width: int) -> Table:
    """Operations with what they are at; with their own ids and ages where `width` has room for these."""
    wide = width >= WIDE
    present = datetime.now(UTC)
    columns = ("kind", "state", "instance", "host", "at")
    made = table("Operations (newest first)", *(("id", "accepted", *columns) if wide else columns))
    for operation in operations:
        state = short(OperationState.Name(operation.state), "OPERATION_STATE_")
        if operation.attempts > 1:
            state += f", attempt {operation.attempts} of {operation.max_attempts}"
        at = operation.step if operation.state in UNDER_WAY else operation.error
        if operation.progress and operation.state in UNDER_WAY:
            at += f" {operation.progress}%"
        row = (
            short(OperationKind.Name(operation.kind), "OPERATION_KIND_"),
            state,
            operation.instance_id,
            operation.host or "-",
            escape(at) or "-",
        )
        made.add_row(*((operation.id, ago(operation.created_at, present), *row) if wide else row))
    return made


@click.command()
@config_options
def status(config: Path | None, state_dir: Path) -> None:
    """Show roles, hosts, instances and operations."""
    settings, state = load(config, state_dir)
    picture = call(settings, state, ask)
    console = open_console()
    for shown in (
        nodes_table(picture),
        hosts_table(picture),
        instances_table(picture),
        operations_table(list(picture.operations.operations), console.width),
    ):
        if shown.row_count:
            console.print(shown, "")
    if picture.instances.next_page_token:
        console.print(f"Only the newest {SHOWN_INSTANCES} instances are shown.")
    if not picture.instances.instances:
        console.print("There are no instances.")

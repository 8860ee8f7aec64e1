"""`novamesh operation`: the ledger of accepted work."""

import asyncio
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live

from cli.administrator import call
from cli.commands.status import UNDER_WAY, operations_table
from cli.options import config_options, load
from cli.tables import open_console
from novamesh.conductor.v1.operation_service_pb2 import ListOperationsRequest, WatchOperationsRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.types.v1.operation_pb2 import Operation
from services.mesh import Node

KEPT_WHEN_DONE = 5.0
REDRAW = 0.25


@click.group()
def operation() -> None:
    """Look at accepted work."""


@operation.command("list")
@click.option("--instance", default="", help="Only of this instance.")
@click.option("--all", "everything", is_flag=True, help="Those that have ended, too.")
@click.option("--limit", default=100, show_default=True, help="At most this many.")
@click.option("--watch", is_flag=True, help="Stay, and show progress as it happens, until Ctrl-C.")
@config_options
def list_operations(
    instance: str, everything: bool, limit: int, watch: bool, config: Path | None, state_dir: Path
) -> None:
    """List operations, the newest first."""
    settings, state = load(config, state_dir)
    console = open_console()
    if watch:
        call(settings, state, lambda node: show_live(node, instance, console))
        return

    async def ask(node: Node) -> list[Operation]:
        request = ListOperationsRequest(
            instance_id=instance, states=() if everything else UNDER_WAY, page_size=limit
        )
        answer = await OperationServiceStub(node.channel("conductor")).ListOperations(request)
        return list(answer.operations)

    found = call(settings, state, ask)
    if found:
        console.print(operations_table(found, console.width))
    else:
        console.print("There are none." if everything else "None is under way; --all shows what has ended.")


async def show_live(node: Node, instance: str, console: Console) -> None:
    """Draw the operations under way, again at each change; what has ended stays a few seconds."""
    current: dict[str, Operation] = {}
    stub = OperationServiceStub(node.channel("conductor"))

    def forget(identifier: str) -> None:
        current.pop(identifier, None)

    def draw() -> object:
        ordered = sorted(current.values(), key=lambda o: -o.number)
        return operations_table(ordered, console.width) if ordered else "None is under way."

    with Live(console=console, get_renderable=draw, refresh_per_second=1 / REDRAW):  # type: ignore[arg-type]
        async for change in stub.WatchOperations(WatchOperationsRequest(instance_id=instance)):
            if change.snapshot_end:
                continue
            current[change.operation.id] = change.operation
            if change.operation.state not in UNDER_WAY:
                asyncio.get_running_loop().call_later(KEPT_WHEN_DONE, forget, change.operation.id)

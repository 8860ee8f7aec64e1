"""`novamesh serve`: some roles of a cloud on this host."""

import asyncio
import signal
import sys
from pathlib import Path

import click
import uvloop

from cli import schema
from cli.memory import give_back_large_blocks, settle
from cli.options import config_options, load
from cli.process import Process, StartError
from cli.roles import GATEWAY, ROLES
from cli.settings import Settings
from cli.state import StateDirectory
from cli.whole import serve_apis, serve_metadata
from services.mesh import Certificate
from services.mesh.logs import set_up_logging


@click.command()
@click.argument("roles", nargs=-1, required=True, type=click.Choice([*ROLES, GATEWAY]))
@click.option("--listen", help="HOST:PORT for the role, in place of its [mesh] address. For one role only.")
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@config_options
def serve(
    roles: tuple[str, ...], listen: str | None, log_format: str, config: Path | None, state_dir: Path
) -> None:
    """Run ROLES on this host until it is told to end.

    Certificates are those in STATE_DIR/certs: of `novamesh ca create` on the
    first host, of `novamesh host join` on others. [mesh] says where the other
    roles answer. `gateway` serves the REST APIs; `metadata` also answers guests.
    """
    if listen and len(roles) > 1:
        raise click.UsageError("--listen goes with one role")
    give_back_large_blocks()
    settings, state = load(config, state_dir)
    set_up_logging(settings.mesh.log_level, "json" if log_format == "json" else "console", sys.stderr)
    sys.exit(uvloop.run(run(settings, state, roles, listen or "")))


async def run(settings: Settings, state: StateDirectory, roles: tuple[str, ...], listen: str) -> int:
    """Start the roles in their order, wait for a signal, stop."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)

    def report(name: str, place: str, state: str = "ready") -> None:
        click.echo(f"{state:<5}  {name:<13} {place}")

    process: Process | None = None
    try:
        certificates = {role: Certificate.read(state.certificates, role) for role in roles}
        process = Process(settings, certificates, report)
        if "conductor" in roles:
            schema.check(settings.database.connection)
        await process.metrics()
        for role in sorted(set(roles) - {GATEWAY}, key=list(ROLES).index):
            node = await process.role(role, listen)
            if role == "metadata":
                await serve_metadata(process, node)
        gateway = None
        if GATEWAY in roles:
            gateway = await process.node(GATEWAY)
            await serve_apis(process, gateway)
        process.start_reports(gateway)
        settle()
        await ended.wait()
    except FileNotFoundError as error:
        click.echo(f"novamesh: {error.filename} is not there: `novamesh ca create` or `host join`", err=True)
        return 1
    except (StartError, schema.SchemaMismatchError, ValueError) as error:
        click.echo(f"novamesh: {error}", err=True)
        return 1
    finally:
        if process is not None:
            await process.stop()
    return 0

"""`novamesh up`: a whole cloud on this machine, in the foreground."""

import asyncio
import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import uvloop
from rich.console import Console

from cli import checks
from cli.checks import Level
from cli.commands.doctor import port_checks, show
from cli.memory import give_back_large_blocks, settle
from cli.options import config_options, load
from cli.process import StartError
from cli.seed import GuestImage
from cli.settings import Settings
from cli.state import StateDirectory
from cli.whole import WholeCloud
from services.mesh.logs import set_up_logging

FAKE: Mapping[str, Any] = {"drivers": {"compute": "fake", "network": "fake"}}
# Guests end with the cloud and run again after the next start.
WHOLE: Mapping[str, Any] = {
    "compute": {"resume_guests_state_on_host_boot": True},
    "network": {"tear_down_on_stop": True},
}


@click.command()
@click.option("--fake", is_flag=True, help="Pretended guests and network: needs no root and no hypervisor.")
@click.option(
    "--guest-image",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".build/guest"),
    show_default=True,
    help="Folder that guest/build.py has filled: the image `tiny`.",
)
@config_options
def up(fake: bool, guest_image: Path, config: Path | None, state_dir: Path) -> None:
    """Run a whole cloud on this machine until Ctrl-C.

    Every role, the Compute, Identity and Image APIs, metadata for guests, a
    database, certificates and a network, in one process. What it makes it ends
    again; instances are kept and run again after the next start.
    """
    began = time.monotonic()
    give_back_large_blocks()
    settings, state = load(config, state_dir, WHOLE, *([FAKE] if fake else []))
    console = Console(highlight=False)
    guest = GuestImage(guest_image.absolute())
    preflight(settings, state, guest, console)
    state.create()
    state.write_clients(settings.identity_api.identity_url, settings.identity_api.region)
    try:
        with state.held(), logging_to(settings, state):
            code = uvloop.run(run(settings, state, guest, partial(say, console), began))
    except BlockingIOError as error:
        raise click.ClickException(f"this cloud is up already, as process {state.running_pid()}") from error
    sys.exit(code)


def say(console: Console, name: str, place: str, state: str = "ready") -> None:
    """One part is ready, or is waited for."""
    colour = "green" if state == "ready" else "yellow"
    console.print(f"  [{colour}]{state:<5}[/]  {name:<13} {place}", soft_wrap=True)


def preflight(settings: Settings, state: StateDirectory, guest: GuestImage, console: Console) -> None:
    """End with what is missing, all of it at once, rather than with the first part that fails."""
    if (pid := state.running_pid()) is not None:
        raise click.ClickException(f"this cloud is up already, as process {pid}")
    real = settings.drivers.compute == "libvirt" or settings.drivers.network == "linux"
    needed = [*(checks.host_checks() if real else ()), *port_checks(settings, running=False)]
    findings = [f for f in checks.run(needed) if f.level is Level.MISSING]
    # The other two kinds are in the way of pretended guests as well.
    lacks_host = real and any(not f.name.startswith("port ") for f in findings)
    if missing := guest.missing():
        text = f"{guest.folder} lacks {', '.join(missing)}"
        findings.append(
            checks.Finding("guest image", Level.MISSING, text, f"python3 guest/build.py {guest.folder}")
        )
    if not findings:
        return
    console.print("This machine can't run the cloud yet:\n")
    show(findings, console)
    if lacks_host:
        console.print("\nA cloud of pretended guests needs no root and no hypervisor: novamesh up --fake")
    sys.exit(1)


async def run(settings: Settings, state: StateDirectory, guest: GuestImage, report: Any, began: float) -> int:
    """Start, say how to use it, wait for a signal, stop."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    cloud = WholeCloud(settings, state, report)
    try:
        starting = asyncio.ensure_future(cloud.start(guest))
        waiting = asyncio.ensure_future(ended.wait())
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            settle()
            click.echo(instructions(state, time.monotonic() - began))
            await waiting
        else:
            starting.cancel()
            await asyncio.wait([starting])
        click.echo("Ending guests and roles ...")
    except StartError as error:
        click.echo(f"novamesh: {error}\nThe log is {state.logs / 'novamesh.log'}", err=True)
        return 1
    finally:
        await cloud.stop()
    click.echo("Everything has ended. Instances are kept; the next start finds them again.")
    return 0


def instructions(state: StateDirectory, seconds: float) -> str:
    """What to type next."""
    here = Path.cwd()

    def near(path: Path) -> str:
        shown = path.relative_to(here) if path.is_relative_to(here) else path
        return shlex.quote(str(shown))

    binaries = Path(sys.executable).parent
    client = "openstack --os-cloud novamesh"
    # Another guest, with another host key, had the address before and will have it again.
    ssh = "ssh -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no"
    return f"""
The cloud is up. ({seconds:.1f} s)
Clouds `novamesh` (project demo) and `novamesh-admin` are in {near(state.clouds_yaml)}. In another terminal:

  export OS_CLIENT_CONFIG_FILE={shlex.quote(str(state.clouds_yaml))} PATH={shlex.quote(str(binaries))}:$PATH
  {client} keypair create k > k.pem && chmod 600 k.pem
  {client} server create --image tiny --flavor m1.tiny --key-name k --network private --wait vm1
  {ssh} -i k.pem root@$({client} server show vm1 -f value -c addresses | grep -oE '[0-9.]{{7,}}')

Ctrl-C ends it.
"""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def logging_to(settings: Settings, state: StateDirectory) -> Iterator[None]:
    """Send the log to logs/novamesh.log."""
    with open(state.logs / "novamesh.log", "a", opener=_private) as log:
        set_up_logging(settings.mesh.log_level, "console", log)
        yield

"""`novamesh doctor`: look the machine over."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import checks
from cli.checks import Check, Finding, Level
from cli.options import config_options, load
from cli.settings import Settings
from cli.tables import open_console
from drivers.virt.libvirt.kvm_probe import probe_kvm

STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.MISSING: "red"}
NEEDED_DISK_GIB = 5.0
NEEDED_MEMORY_GIB = 2.0


def kvm() -> Finding:
    """Whether guests run on the processor or are emulated, and why."""
    verdict = probe_kvm()
    if verdict.usable:
        return checks.ok("kvm", verdict.reason)
    return Finding(
        "kvm",
        Level.WARNING,
        f"not usable, guests will be emulated: {verdict.reason}",
        "nothing has to be done: emulated guests work, ten times slower. For KVM turn on virtualization "
        "in the firmware, or nested virtualization where this machine is itself a guest.",
    )


def port_checks(settings: Settings, *, running: bool) -> Iterator[Check]:
    """One check for each port that the cloud listens on; none of them while it is up."""
    if not running:
        for option, host, port in settings.ports():
            yield partial(checks.port, host, port, option)


def show(findings: list[Finding], console: Console) -> None:
    """A table, and below it what to do."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        level = f"[{STYLES[finding.level]}]{finding.level.value}[/]"
        table.add_row(level, escape(finding.name), escape(finding.text))
    console.print(table)
    mends = [f for f in findings if f.mend]
    if mends:
        console.print()
        for finding in mends:
            style = STYLES[finding.level]
            console.print(f"[{style}]{escape(finding.name)}[/]: {escape(finding.mend)}", soft_wrap=True)


@click.command()
@config_options
def doctor(config: Path | None, state_dir: Path) -> None:
    """Check this machine and say how to mend what it lacks.

    Looks at privileges, KVM, libvirt, QEMU, dnsmasq, nftables, the kernel's
    abilities, ports, memory and disk. Exits 1 when something that a cloud of real
    guests needs is missing.
    """
    settings, state = load(config, state_dir)
    findings = checks.run(
        [
            *checks.host_checks(),
            kvm,
            partial(checks.memory, NEEDED_MEMORY_GIB),
            partial(checks.disk, state.path, NEEDED_DISK_GIB),
            partial(checks.state_folder, state.path),
            *port_checks(settings, running=state.running_pid() is not None),
        ]
    )
    show(findings, open_console())
    if any(f.level is Level.MISSING for f in findings):
        click.echo("\nWithout these, `novamesh up --fake` still runs a cloud of pretended guests.")
        sys.exit(1)

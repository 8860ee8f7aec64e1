"""`novamesh config`: what can be configured, and what is."""

from dataclasses import MISSING, Field, fields, is_dataclass
from pathlib import Path
from typing import Any

import click

from cli.example import example, line
from cli.options import config_options, load


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command("example")
def show_example() -> None:
    """Print every option with its meaning and default."""
    click.echo(example(), nl=False)


@config.command()
@config_options
def show(config: Path | None, state_dir: Path) -> None:
    """Print the options in force that are not the defaults. Secrets are left out."""
    settings, _ = load(config, state_dir)
    for section in fields(settings):
        owner = getattr(settings, section.name)
        changed = [
            line(option.name, getattr(owner, option.name)).removeprefix("# ")
            for option in fields(owner)
            if option.repr
            and getattr(owner, option.name) != default(option)
            and not is_dataclass(getattr(owner, option.name))
        ]
        if changed:
            click.echo(f"[{section.name}]\n" + "\n".join(changed) + "\n")


def default(option: Field[Any]) -> Any:
    """What the option is where nobody says anything."""
    return option.default if option.default_factory is MISSING else option.default_factory()

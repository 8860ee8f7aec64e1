"""Options that every command takes, and the configuration that they lead to."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from cli import config as configuration
from cli.settings import Settings, defaults, derived
from cli.state import StateDirectory

F = TypeVar("F", bound=Callable[..., Any])
DEFAULT_STATE = Path(".novamesh")


def config_options(command: F) -> F:
    """Add --config and --state-dir."""
    command = click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_STATE,
        show_default=True,
        envvar="NOVAMESH_STATE_DIR",
        help="Where the cloud on this machine keeps everything.",
    )(command)
    return click.option(
        "--config",
        type=click.Path(path_type=Path, dir_okay=False),
        envvar="NOVAMESH_CONFIG",
        help="TOML file; without it the defaults hold, or STATE_DIR/novamesh.toml where that is there.",
    )(command)


def load(
    config: Path | None, state_dir: Path, *further: Mapping[str, Any]
) -> tuple[Settings, StateDirectory]:
    """Read the configuration; a mistake in it ends the command with a sentence that names the option."""
    state = StateDirectory(state_dir.absolute())
    path = config or state.path / "novamesh.toml"
    try:
        written = configuration.read_file(path) if config or path.exists() else {}
        sources = (*further, written, configuration.read_environment(os.environ))
        first = configuration.build(Settings, defaults(state), *sources)
        settings = configuration.build(Settings, defaults(state), derived(first), *sources)
    except configuration.ConfigError as error:
        raise click.UsageError(str(error)) from error
    return settings, state

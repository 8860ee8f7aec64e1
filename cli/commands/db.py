"""`novamesh db`: the database's schema."""

from pathlib import Path

import click

from cli import schema
from cli.options import config_options, load


@click.group()
def db() -> None:
    """Bring the database's schema up to date."""


@db.command()
@config_options
def upgrade(config: Path | None, state_dir: Path) -> None:
    """Bring the schema to what this version needs. There is no way back but a backup."""
    settings, state = load(config, state_dir)
    state.create()
    try:
        before = schema.upgrade(settings.database.connection)
    except schema.SchemaMismatchError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"was at {before or 'nothing'}, is at {schema.HEAD}")


@db.command()
@config_options
def check(config: Path | None, state_dir: Path) -> None:
    """Say whether the schema is what this version needs; exits 1 when it isn't."""
    settings, _ = load(config, state_dir)
    try:
        schema.check(settings.database.connection)
    except schema.SchemaMismatchError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"is at {schema.HEAD}, as it should be")

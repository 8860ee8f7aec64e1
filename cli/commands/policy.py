"""`novamesh policy`: what users may do."""

from functools import partial
from pathlib import Path

import click

from cli.options import config_options, load
from gateway.compute.rules import RULES
from gateway.policy import EffectiveRule, Policy


@click.group()
def policy() -> None:
    """Look at what users may do."""


@policy.command()
@click.argument("words", nargs=-1)
@click.option("--overridden", is_flag=True, help="Only rules that the policy file has changed.")
@click.option(
    "--policy-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Policy file to look at, in place of the configured one.",
)
@config_options
def show(
    words: tuple[str, ...], overridden: bool, policy_file: Path | None, config: Path | None, state_dir: Path
) -> None:
    """Print the rules of the Compute API that are in force, as a policy file would have them.

    WORDS choose rules whose names have any of them, for example `servers:create`.
    """
    settings, _ = load(config, state_dir)
    chosen = policy_file or settings.api.policy_file
    try:
        rules = Policy(RULES, chosen, partial(click.echo, err=True)).effective()
    except (OSError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    found = [
        text(rule)
        for rule in rules
        if (rule.overridden or not overridden) and (not words or any(word in rule.name for word in words))
    ]
    if found:
        click.echo("\n\n".join(found))
    else:
        click.echo("No rule is overridden." if overridden else "There is no such rule.", err=True)


def text(rule: EffectiveRule) -> str:
    """A rule in YAML, under what it guards and where its check comes from."""
    lines = [f"# {rule.description}"] if rule.description else []
    if not rule.overridden:
        lines.append("# default")
    elif rule.default:
        lines.append(f"# overridden; the default is: {rule.default}")
    else:
        lines.append("# a rule of the policy file's own")
    return "\n".join([*lines, f"{quoted(rule.name)}: {quoted(rule.check)}"])


def quoted(value: str) -> str:
    """A string of YAML."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'

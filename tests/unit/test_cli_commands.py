"""`novamesh --help`: true, and there at once."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

import cli.commands
from cli.main import COMMANDS, main


def test_every_command_is_in_the_table() -> None:
    (folder,) = cli.commands.__path__
    assert {path.stem for path in Path(folder).glob("[a-z]*.py")} == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_a_command_says(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(limit=100) == COMMANDS[name]


def test_help_imports_no_cloud() -> None:
    """Which takes more than a second."""
    code = (
        "import sys; from cli.main import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, modules = done.stdout.strip().rsplit("\n", 1)
    assert all(sentence in shown for sentence in COMMANDS.values())
    assert not {"grpc", "sqlalchemy", "aiohttp"} & set(modules.split())


def test_unknown_command() -> None:
    with pytest.raises(click.UsageError, match="No such command 'stauts'"):
        main(["stauts"], standalone_mode=False)

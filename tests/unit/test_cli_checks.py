"""What the doctor says of a machine, and the state directory's files."""

import os
import socket
import stat
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from cli import checks
from cli.checks import Level
from cli.main import main
from cli.state import StateDirectory


def test_a_taken_port_names_the_option_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        finding = checks.port("127.0.0.1", number, "[api] osapi_compute_listen_port")
    assert finding.level is Level.MISSING
    assert str(number) in finding.text
    assert "[api] osapi_compute_listen_port" in finding.mend


def test_a_free_port_is_fine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
    assert checks.port("127.0.0.1", number, "x").level is Level.OK


def test_a_missing_program_names_its_package() -> None:
    finding = checks.program("no-such-program-here", "the-package", "does things")
    assert finding.level is Level.MISSING
    assert finding.mend == "apt-get install the-package"


def test_too_little_disk_is_a_warning(tmp_path: Path) -> None:
    assert checks.disk(tmp_path / "not" / "there" / "yet", 1e9).level is Level.WARNING
    assert checks.disk(tmp_path, 0.0).level is Level.OK


def test_passwords_and_clients_files_are_kept_and_private(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.create()
    state.write_clients("http://127.0.0.1:5000/v3", "RegionOne")
    passwords = state.passwords()
    assert state.passwords() == passwords
    assert len(set(passwords.values())) == 2
    clouds = yaml.safe_load(state.clouds_yaml.read_text())["clouds"]
    assert clouds["novamesh"]["auth"]["project_name"] == "demo"
    assert clouds["novamesh-admin"]["auth"]["password"] == passwords["admin"]
    for path in (state.clouds_yaml, state.openrc, state.path / "passwords.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_cloud_is_up_while_its_process_lives_whatever_the_file_says(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert state.running_pid() is None
    state.pid_file.write_text("1\n")
    assert state.running_pid() is None
    with state.held():
        assert state.running_pid() == os.getpid()
        with pytest.raises(BlockingIOError), state.held():
            pass
    assert state.running_pid() is None


def test_up_says_all_that_is_missing_at_once_and_offers_the_fake_driver(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        # Without a PATH, QEMU is nowhere to be found.
        taken_port = {"NOVAMESH_API__OSAPI_COMPUTE_LISTEN_PORT": port, "PATH": str(tmp_path)}
        command = ["up", "--state-dir", str(tmp_path / "state"), "--guest-image", str(tmp_path / "none")]
        answer = CliRunner(env=taken_port).invoke(main, command)
        pretended = CliRunner(env=taken_port).invoke(main, [*command, "--fake"])
    assert answer.exit_code == 1
    assert "apt-get install qemu-utils" in answer.output
    assert "[api] osapi_compute_listen_port" in answer.output
    assert "guest/build.py" in answer.output
    assert "novamesh up --fake" in answer.output
    assert pretended.exit_code == 1
    assert "guest/build.py" in pretended.output
    assert "novamesh up --fake" not in pretended.output, "it would need the same"
    assert not (tmp_path / "state").exists()


def test_commands_on_a_cloud_that_is_not_there_say_so(tmp_path: Path) -> None:
    answer = CliRunner().invoke(main, ["status", "--state-dir", str(tmp_path / "nothing")])
    assert answer.exit_code == 1
    assert "start the cloud with `novamesh up`" in answer.output

"""Hosts join a cloud by the commands of docs/operations.md, each with a state directory of its own."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud import require_root

pytestmark = pytest.mark.real

NOVAMESH = str(Path(sys.executable).parent / "novamesh")
GRPCURL = str(Path(sys.executable).parent / "grpcurl")
TIMEOUT = 30.0


class Namespace:
    """A network namespace with the processes of several hosts in it."""

    def __init__(self, keeper: "subprocess.Popen[bytes]") -> None:
        self._keeper = keeper
        self._processes: list[subprocess.Popen[bytes]] = []

    def _command(self, *command: str) -> list[str]:
        return ["nsenter", "-t", str(self._keeper.pid), "-n", *command]

    def run(self, *command: str, **variables: str) -> str:
        """Run a command to its end; returns what it printed, fails when it fails."""
        done = subprocess.run(
            self._command(*command),
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def serve(self, state: Path, *roles: str, **variables: str) -> None:
        """Start `novamesh serve`, and wait until each role is ready."""
        log = state / "serve.out"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self._command(NOVAMESH, "serve", "--state-dir", str(state), *roles),
                env={**os.environ, "PYTHONUNBUFFERED": "1", **variables},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        deadline = time.monotonic() + TIMEOUT
        while not all(f"ready  {role} " in log.read_text() for role in roles):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        """End every process."""
        for process in [*reversed(self._processes), self._keeper]:
            process.terminate()
        for process in [*self._processes, self._keeper]:
            process.wait(TIMEOUT)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace with a loopback, ended afterwards."""
    require_root()
    keeper = subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 600"],
        stdout=subprocess.PIPE,
    )
    assert keeper.stdout is not None
    assert keeper.stdout.readline() == b"up\n"
    made = Namespace(keeper)
    with contextlib.closing(keeper.stdout):
        try:
            yield made
        finally:
            made.end()


def test_a_compute_host_joins_by_token(namespace: Namespace, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    joining = {"NOVAMESH_CERT__JOIN_LISTEN": "127.0.0.1:8788", "NOVAMESH_MESH__HOST": "node1"}
    namespace.run(NOVAMESH, "ca", "create", "--state-dir", str(first), **joining)
    namespace.run(NOVAMESH, "db", "upgrade", "--state-dir", str(first), **joining)
    namespace.serve(first, "cert", "conductor", "scheduler", **joining)

    tokens = namespace.run(
        NOVAMESH, "host", "token", "--state-dir", str(first), "node2", "compute", "network"
    )
    namespace.run(NOVAMESH, "host", "join", "--state-dir", str(second), *tokens.split())
    assert not (second / "certs" / "admin.pem").exists()

    fake = {
        "NOVAMESH_DRIVERS__COMPUTE": "fake",
        "NOVAMESH_DRIVERS__NETWORK": "fake",
        "NOVAMESH_MESH__METRICS_LISTEN": "",
    }
    namespace.serve(second, "network", "compute", **fake)
    certs = first / "certs"
    deadline = time.monotonic() + TIMEOUT
    hosts: list[str] = []
    while hosts != ["node2"]:
        assert time.monotonic() < deadline, hosts
        answer = namespace.run(
            GRPCURL, "-cacert", str(certs / "ca.pem"), "-cert", str(certs / "admin.pem"),
            "-key", str(certs / "admin-key.pem"), "127.0.0.1:8780",
            "novamesh.conductor.v1.HostService/ListHosts",
        )  # fmt: skip
        hosts = [host["name"] for host in json.loads(answer).get("hosts", []) if host.get("up")]
        time.sleep(0.1)

    # A token is good once.
    again = subprocess.run(
        namespace._command(
            NOVAMESH, "host", "join", "--state-dir", str(tmp_path / "third"), tokens.split()[0]
        ),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert again.returncode == 1
    assert "token" in again.stderr

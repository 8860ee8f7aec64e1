"""A whole cloud for tests: `novamesh up` in network and mount namespaces of its own.

Nothing that it does on the network is seen outside. The namespaces last until
`close`, so a cloud that was killed finds its guests when it starts again, and what
it leaves behind can be looked at. Needs root; with the libvirt driver also what
`make run` needs.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
GUEST = ROOT / ".build" / "guest"
READY = "The cloud is up."
START_TIMEOUT = 60.0
STOP_TIMEOUT = 60.0
CLONE_NEWNET = 0x40000000

# Variables of a cloud that takes more hosts, and where these join.
JOINABLE = {"NOVAMESH_CERT__JOIN_LISTEN": "127.0.0.1:8788"}
# Variables of a cloud where passwords cost little: clients log in with each command.
CHEAP_PASSWORDS = {
    "NOVAMESH_IDENTITY_EMBEDDED__ARGON2_TIME_COST": "1",
    "NOVAMESH_IDENTITY_EMBEDDED__ARGON2_MEMORY": "8",
}
# Further hosts' compute roles listen from here on, each one's network role at the port after.
FURTHER_PORT = 8800

# What programs need to run at all; the rest of the environment stays out.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


@dataclass
class Cloud:
    """One cloud, up or not. `options` are further arguments of `novamesh up`."""

    state: Path
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    holder: "subprocess.Popen[bytes] | None" = None
    others: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    configuration: str = ""
    """Text of novamesh.toml, on further hosts too."""

    @property
    def log(self) -> Path:
        """What `novamesh up` printed."""
        return self.state.with_name(self.state.name + ".out")

    def variables(self) -> dict[str, str]:
        """The environment of every command."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        kept["PATH"] = f"{Path(sys.executable).parent}:/usr/sbin:/sbin:{kept.get('PATH', '/usr/bin:/bin')}"
        return {**kept, "OS_CLIENT_CONFIG_FILE": str(self.state / "clouds.yaml"), **self.environment}

    def start(self) -> None:
        """Start it and wait until it says that it is up; fails with what it printed."""
        if self.holder is None:
            self.open()
        self._configure(self.state)
        command = self.inside(
            str(Path(sys.executable).parent / "novamesh"), "up",
            "--state-dir", str(self.state), "--guest-image", str(GUEST), *self.options,
        )  # fmt: skip
        with self.log.open("ab") as out:
            out.truncate(0)
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.variables(), cwd=ROOT
            )
        deadline = time.monotonic() + START_TIMEOUT
        while READY not in self.output():
            if self.process.poll() is not None:
                pytest.fail(f"novamesh up ended with {self.process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                self.kill()
                pytest.fail(f"novamesh up did not get ready:\n{self.output()}")
            time.sleep(0.05)

    def add_fake_host(self, name: str) -> None:
        """Have one more host, with the fake drivers, join as docs/operations.md says; wait until it serves.

        The cloud's environment must have JOINABLE.
        """
        novamesh = str(Path(sys.executable).parent / "novamesh")
        state = self.state.with_name(f"{self.state.name}-{name}")
        roles = ("compute", "network")
        tokens = self.run(novamesh, "host", "token", "--state-dir", str(self.state), name, *roles).split()
        self._configure(state)
        self.run(novamesh, "host", "join", "--state-dir", str(state), *tokens)
        port = FURTHER_PORT + 2 * len(self.others)
        settings = {
            "NOVAMESH_DRIVERS__COMPUTE": "fake",
            "NOVAMESH_DRIVERS__NETWORK": "fake",
            "NOVAMESH_FAKE__HYPERVISOR_HOSTNAME": name,
            "NOVAMESH_MESH__COMPUTE": f"127.0.0.1:{port}",
            "NOVAMESH_MESH__NETWORK": f"127.0.0.1:{port + 1}",
            "NOVAMESH_MESH__METRICS_LISTEN": "",
            "PYTHONUNBUFFERED": "1",
        }
        log = state / "serve.out"
        with log.open("wb") as out:
            process = subprocess.Popen(
                self.inside(novamesh, "serve", "--state-dir", str(state), *roles),
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**self.variables(), **settings},
            )  # fmt: skip
        self.others.append(process)
        deadline = time.monotonic() + START_TIMEOUT
        while not all(f"ready  {role} " in log.read_text() for role in roles):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the host {name} did not get ready:\n{log.read_text()}")
            time.sleep(0.05)

    def _configure(self, state: Path) -> None:
        if self.configuration:
            state.mkdir(parents=True, exist_ok=True)
            (state / "novamesh.toml").write_text(self.configuration)

    def open(self) -> None:
        """Make the namespaces; a sleeping process holds them. `start` does it where it hasn't been done."""
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--propagation", "slave",
             "sh", "-c", "ip link set lo up && echo ready && exec sleep infinity"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n", "no namespaces of its own"

    def close(self) -> None:
        """End it as Ctrl-C does, then its namespaces and all that is still in them."""
        try:
            self.stop()
        finally:
            if self.holder is not None:
                for pid in self.processes():
                    os.kill(pid, signal.SIGKILL)
                assert self.holder.stdout is not None
                self.holder.stdout.close()
                self.holder.kill()
                self.holder.wait()

    def processes(self) -> dict[int, str]:
        """Command lines by pid of all that runs in the cloud's network namespace."""
        assert self.holder is not None
        found = {}
        own = os.readlink(f"/proc/{self.holder.pid}/ns/net")
        # The test itself may have entered.
        own_pids = (self.holder.pid, os.getpid())
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                pid = int(entry.name)
                # What has ended and isn't waited for yet has no command line.
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command and pid not in own_pids and os.readlink(entry / "ns/net") == own:
                    found[pid] = command.strip()
        return found

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Have this thread open its sockets in the cloud's network namespace."""
        assert self.holder is not None
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as outside, open(f"/proc/{self.holder.pid}/ns/net") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                if libc.setns(outside.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def stop(self) -> int:
        """End it as Ctrl-C does, and wait; returns its exit code."""
        while self.others:
            other = self.others.pop()
            other.terminate()
            other.wait(STOP_TIMEOUT)
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"novamesh up did not end:\n{self.output()}")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def inside(self, *command: str) -> list[str]:
        """A command as it is run inside the cloud's namespaces."""
        assert self.holder is not None
        return ["nsenter", "-t", str(self.holder.pid), "-n", "-m", f"-w{Path.cwd()}", *command]

    def run(self, *command: str, check: bool = True, timeout: float = 120.0) -> str:
        """Run a command inside the cloud's namespaces; returns what it printed."""
        done = subprocess.run(
            self.inside(*command),
            capture_output=True,
            text=True,
            env=self.variables(),
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            pytest.fail(
                f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}"
            )
        return done.stdout if check else done.stdout + done.stderr

    def openstack(self, *arguments: str, cloud: str = "novamesh", check: bool = True) -> str:
        """Run the `openstack` client."""
        return self.run("openstack", "--os-cloud", cloud, *arguments, check=check).strip()

    def tail(self, lines: int = 30) -> str:
        """The end of what the cloud printed."""
        return "\n".join(self.output().splitlines()[-lines:])


def require_root() -> None:
    """Fail, with the reason, where a cloud can't be given namespaces of its own."""
    if os.geteuid() != 0:
        pytest.fail("this test makes network namespaces and guests: run it as root")


@contextlib.contextmanager
def running_cloud(
    state: Path, *options: str, environment: Mapping[str, str] | None = None, configuration: str = ""
) -> Iterator[Cloud]:
    """A cloud that is up, and is ended afterwards whatever happens."""
    require_root()
    cloud = Cloud(state, options, environment or {}, configuration=configuration)
    try:
        cloud.start()
        yield cloud
    finally:
        cloud.close()

"""A cloud whose roles are processes that a test kills and starts again.

Everything listens on 127.0.0.1 at ports chosen here, so nothing needs root and
several clouds run side by side. Guests are the fake driver's; its journal is a
file, so they outlive a killed compute role as real ones do.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.options import load
from cli.seed import seed_flavors, seed_network
from cli.seed_images import ImageSeed, seed_image
from cli.settings import Settings
from cli.state import StateDirectory
from db import migrate
from drivers.virt.fake.journal import Journal
from novamesh.conductor.v1.host_service_pb2 import ListHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import Failure, UnavailableError
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING
from services.cert.provision import provision
from services.identity.seed import seed_identity
from services.mesh import Certificate, Node

ROOT = Path(__file__).resolve().parent.parent.parent
NOVAMESH = str(Path(sys.executable).with_name("novamesh"))
START_TIMEOUT = 60.0
STOP_TIMEOUT = 30.0
MIB = 1024**2

Sections = Mapping[str, Mapping[str, Any]]

# Everything that a real cloud waits for, made short: what is tested is what happens, not how long it takes.
HASTE: Sections = {
    "conductor": {
        "operation_lease": 2.0,
        "sweep_interval": 0.2,
        "retry_interval": 0.3,
        "max_retry_interval": 1.0,
        "operation_attempts": 40,
        "service_down_time": 6.0,
        "report_interval": 0.5,
        "poll_interval": 0.2,
        "call_timeout": 5.0,
        "action_timeout": 30.0,
    },
    "compute": {"report_interval": 0.5, "unclaimed_guest_grace": 1.0, "sync_power_state_interval": 1.0},
    "quota": {"quota_instances": 100, "quota_cores": 100, "quota_ram": 102400},
}

KILLED = ("conductor", "scheduler", "compute")
# What is not killed by itself shares one process, to start sooner.
OTHERS = ("cert", "identity", "image", "metadata", "network", "gateway")
PORTS = {
    "mesh": ("conductor", "scheduler", "compute", "network", "metadata", "identity", "image", "cert"),
    "api": ("osapi_compute_listen_port",),
    "identity_api": ("bind_port",),
    "image_api": ("bind_port",),
    "metadata_api": ("metadata_listen_port",),
}


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, below those that the kernel gives out by itself."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def merged(*all_sections: Sections) -> dict[str, dict[str, Any]]:
    """Sections, the later ones over the earlier."""
    result: dict[str, dict[str, Any]] = {}
    for sections in all_sections:
        for name, options in sections.items():
            result.setdefault(name, {}).update(options)
    return result


def toml(sections: Sections) -> str:
    """Sections as TOML."""

    def value(one: Any) -> str:
        if isinstance(one, Mapping):
            return "{" + ", ".join(f"{json.dumps(k)} = {value(v)}" for k, v in one.items()) + "}"
        return json.dumps(one)

    return "".join(
        f"[{name}]\n" + "".join(f"{option} = {value(one)}\n" for option, one in options.items())
        for name, options in sections.items()
    )


def qcow2(path: Path, size: str) -> Path:
    """An empty disk."""
    if shutil.which("qemu-img") is None:
        pytest.fail("qemu-img is missing: apt-get install qemu-utils")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), size], check=True)
    return path


class Processes:
    """One cloud in a folder. `sections` are configured over what makes it small, fast and alone."""

    def __init__(self, folder: Path, *sections: Sections) -> None:
        self.folder = folder
        self.state = StateDirectory(folder / "state")
        self.journal = folder / "guests.journal"
        numbers = iter(free_ports(sum(map(len, PORTS.values())) + 1))
        mesh = {role: f"127.0.0.1:{next(numbers)}" for role in PORTS["mesh"]}
        ports: Sections = {
            section: {option: next(numbers) for option in options}
            for section, options in PORTS.items()
            if section != "mesh"
        }
        own: Sections = {
            "mesh": {**mesh, "metrics_listen": "", "host": "faulty"},
            "metadata_api": {"metadata_listen": ["127.0.0.1"]},
            "drivers": {"compute": "fake", "network": "fake"},
            "fake": {"journal": str(self.journal)},
        }
        self.sections = merged(own, ports, *sections)
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.state.path.mkdir()
        self.configure({})

    @property
    def settings(self) -> Settings:
        """The configuration as the roles read it."""
        return load(None, self.state.path)[0]

    def guests(self) -> set[str]:
        """Ids of the guests that run, by the fake driver's journal."""
        found = Journal.read(self.journal)
        return {guest for guest, state in found.items() if state == POWER_STATE_RUNNING}

    def configure(self, sections: Sections) -> None:
        """Change the configuration for what is started from now on."""
        self.sections = merged(self.sections, sections)
        (self.state.path / "novamesh.toml").write_text(toml(self.sections))

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run `novamesh` with this cloud's state; what it printed."""
        done = subprocess.run(
            [NOVAMESH, *arguments, "--state-dir", str(self.state.path)],
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=60,
            check=False,
        )
        assert not check or done.returncode == 0, f"novamesh {arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def prepare(self) -> None:
        """What `novamesh ca create` and `db upgrade` do, without starting an interpreter for each."""
        self.certify()
        settings = self.settings
        migrate.upgrade(settings.database.connection)
        self.state.write_clients(settings.identity_api.identity_url, settings.identity_api.region)

    def certify(self) -> None:
        """Make certificates as `novamesh ca create` does."""
        settings = self.settings
        self.state.create()
        mesh, life = settings.mesh, timedelta(seconds=settings.cert.certificate_life)
        provision(self.state.certificates, mesh.cluster, mesh.host, [*OTHERS, *KILLED], life)

    def log(self, name: str) -> Path:
        """What a process printed and logged."""
        return self.folder / f"{name}.log"

    def launch(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `novamesh ARGUMENTS` as process `name`, and return at once."""
        assert name not in self.running or self.running[name].poll() is not None, f"{name} runs already"
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(
                [NOVAMESH, *arguments, "--state-dir", str(self.state.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # A crash of a library then says where.
                env={**os.environ, "PYTHONFAULTHANDLER": "1", **(environment or {})},
            )

    def serve(self, name: str, *roles: str, listen: str = "") -> None:
        """Start roles as a process and wait until they say that they are ready. `name` is the role when
        none is given."""
        began = self.size(name)
        served = roles or (name,)
        self.launch(name, "serve", *served, *(["--listen", listen] if listen else []))
        wanted = ["ready  compute API" if role == "gateway" else f"ready  {role} " for role in served]
        self.wait_for(name, began, *wanted)

    def serve_all(self) -> None:
        """Start every role: the conductor, the scheduler and compute as processes of their own."""
        for name in KILLED:
            self.launch(name, "serve", name)
        self.launch("others", "serve", *OTHERS)
        for name in KILLED:
            self.wait_for(name, 0, f"ready  {name} ")
        self.wait_for("others", 0, "ready  compute API")

    def size(self, name: str) -> int:
        """How much a process has printed: where to look on from."""
        return self.log(name).stat().st_size if self.log(name).exists() else 0

    def wait_for(self, name: str, began: int, *texts: str, timeout: float = START_TIMEOUT) -> None:
        """Wait until a process has printed these texts since `began`."""
        deadline = time.monotonic() + timeout
        while True:
            said = self.log(name).read_bytes()[began:].decode(errors="replace")
            if all(text in said for text in texts):
                return
            code = self.running[name].poll()
            if code is not None or time.monotonic() > deadline:
                pytest.fail(f"{name} did not say {texts} (exit code {code}):\n{said[-4000:]}")
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        """End a process as a power cut does."""
        self.running[name].kill()
        self.running[name].wait()

    def stop(self, name: str) -> int:
        """End a process as Ctrl-C does; its exit code."""
        process = self.running[name]
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill(name)
            pytest.fail(f"{name} did not end:\n{self.said(name)}")

    def stop_all(self) -> None:
        """End every process, whatever it takes."""
        alive = [process for process in self.running.values() if process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGINT)
        for process in alive:
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def said(self, name: str, characters: int = 4000) -> str:
        """The end of what a process printed."""
        return self.log(name).read_text(errors="replace")[-characters:] if self.log(name).exists() else ""

    async def administer(self, work: Callable[[Node], Awaitable[Any]]) -> Any:
        """Call roles with the administrator's certificate."""
        node = Node(Certificate.read(self.state.certificates, "admin"), self.settings.mesh.addresses())
        await node.start()
        try:
            return await work(node)
        finally:
            await node.stop()

    def seed(self) -> None:
        """Give a new cloud what `novamesh up` does, with an image of a megabyte; wait for its host."""
        data = self.folder / "tiny.raw"
        data.write_bytes(b"\1" * MIB)

        async def all_of_it(node: Node) -> None:
            await seed_flavors(node)
            await seed_network(node, self.settings.network)
            await seed_identity(node, self.state.passwords())
            await seed_image(ImageServiceStub(node.channel("image")), ImageSeed("tiny", data, "raw"))

        async def work(node: Node) -> None:
            deadline = time.monotonic() + START_TIMEOUT
            while True:
                try:
                    await all_of_it(node)
                    break
                except UnavailableError:
                    # Who looked for the conductor before it was there looks again a moment later.
                    if time.monotonic() > deadline or any(
                        p.poll() is not None for p in self.running.values()
                    ):
                        raise
                    await asyncio.sleep(0.2)
            hosts = HostServiceStub(node.channel("conductor"))
            async with asyncio.timeout(START_TIMEOUT):
                while not any(host.up for host in (await hosts.ListHosts(ListHostsRequest())).hosts):
                    await asyncio.sleep(0.05)

        try:
            asyncio.run(self.administer(work))
        except (Failure, TimeoutError) as failure:
            ends = (f"{name} (exit code {p.poll()}):\n{self.said(name)}" for name, p in self.running.items())
            pytest.fail(f"the cloud can't be seeded: {failure}\n" + "\n".join(ends))

    def guest_folder(self) -> Path:
        """What `novamesh up --guest-image` wants, with next to nothing in it."""
        folder = self.folder / "guest"
        folder.mkdir(exist_ok=True)
        for name in ("kernel", "initrd", "root.ext4"):
            (folder / name).write_bytes(name.encode() * 100)
        qcow2(folder / "disk.qcow2", "1M")
        return folder

    def up(self, name: str = "up", *options: str) -> None:
        """Run `novamesh up --fake` until it says that the cloud is up."""
        began = self.size(name)
        self.launch(name, "up", "--fake", "--guest-image", str(self.guest_folder()), *options)
        self.wait_for(name, began, "The cloud is up.")


@contextlib.contextmanager
def processes(
    folder: Path, *sections: Sections, conductors: int = 1, make: type[Processes] = Processes
) -> Iterator[Processes]:
    """A seeded cloud in processes, ended afterwards whatever happens."""
    cloud = make(folder, HASTE, *sections)
    addresses = [cloud.sections["mesh"]["conductor"], *(f"127.0.0.1:{p}" for p in free_ports(conductors - 1))]
    cloud.configure({"mesh": {"conductor": ",".join(addresses)}})
    cloud.prepare()
    try:
        cloud.serve_all()
        for number, address in enumerate(addresses[1:], 2):
            cloud.serve(f"conductor{number}", "conductor", listen=address)
        cloud.seed()
        yield cloud
    finally:
        cloud.stop_all()


@contextlib.contextmanager
def fake_cloud(folder: Path, *sections: Sections) -> Iterator[Processes]:
    """`novamesh up --fake`, ended afterwards whatever happens."""
    cloud = Processes(folder, *sections)
    try:
        cloud.up()
        yield cloud
    finally:
        cloud.stop_all()

"""A cloud of two compute hosts: another process, with certificates of its own from the same authority."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from cli.state import StateDirectory
from services.cert.provision import provision
from tests.faults.processes import Processes, Sections, free_ports, merged, processes

NAME = "second"
# The first host's name, in tests.faults.processes.
FIRST = "faulty"
ROLES = ("compute", "network")


class SecondHost(Processes):
    """The host `second` of a cloud. `serve`, `kill` and the rest are about its one process, `compute`."""

    def __init__(self, cloud: Processes, *sections: Sections) -> None:
        self.folder = cloud.folder / NAME
        self.state = StateDirectory(self.folder / "state")
        self.journal = self.folder / "guests.journal"
        compute, network = free_ports(2)
        own: Sections = {
            "mesh": {
                "host": NAME,
                "compute": f"127.0.0.1:{compute}",
                "network": f"127.0.0.1:{network}",
            },
            "fake": {"journal": str(self.journal)},
        }
        self.sections = merged(cloud.sections, own, *sections)
        self.running = {}
        self.state.path.mkdir(parents=True)
        self.configure({})
        self.state.create()
        for name in ("ca.pem", "ca-key.pem"):
            shutil.copy(cloud.state.certificates / name, self.state.certificates / name)
        mesh, life = self.settings.mesh, timedelta(seconds=self.settings.cert.certificate_life)
        provision(self.state.certificates, mesh.cluster, mesh.host, ROLES, life)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.serve("compute", *ROLES)


class TwoHosts(Processes):
    """The whole cloud. Its own `compute` is the host `faulty`."""

    second: SecondHost

    def guests(self) -> set[str]:
        """Ids of the guests that run on either host."""
        return super().guests() | self.second.guests()


@contextmanager
def two_hosts(folder: Path, *sections: Sections) -> Iterator[TwoHosts]:
    """A seeded cloud whose second host is not started yet, ended afterwards whatever happens."""
    with processes(folder, *sections, make=TwoHosts) as cloud:
        assert isinstance(cloud, TwoHosts)
        cloud.second = SecondHost(cloud)
        try:
            yield cloud
        finally:
            cloud.second.stop_all()

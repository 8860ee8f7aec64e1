"""A cloud of real guests in namespaces of its own, as these tests look at it from outside."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt
import pytest

from cli.options import load
from cli.settings import Settings
from cli.state import StateDirectory
from drivers.virt.libvirt import PrivateLibvirtd
from tests.cloud import GUEST, Cloud, require_root
from tests.faults.processes import HASTE, Sections, merged, toml


@dataclass
class RealSite:
    """See the module."""

    cloud: Cloud

    @property
    def state(self) -> StateDirectory:
        """Its files."""
        return StateDirectory(self.cloud.state)

    @property
    def settings(self) -> Settings:
        """Its configuration."""
        return load(None, self.cloud.state)[0]

    @property
    def libvirtd(self) -> PrivateLibvirtd:
        """Its own libvirtd."""
        return PrivateLibvirtd(self.state.libvirt)

    def domains(self) -> dict[str, bool]:
        """Ids of all domains, and whether each runs."""
        connection = libvirt.openReadOnly(self.libvirtd.uri)
        try:
            return {domain.UUIDString(): bool(domain.isActive()) for domain in connection.listAllDomains()}
        finally:
            connection.close()

    def guests(self) -> set[str]:
        """Ids of the domains that run."""
        return {one for one, active in self.domains().items() if active}

    def taps(self) -> set[str]:
        """Interfaces other than bridges and loopback."""
        lines = self.cloud.run("ip", "-o", "link", "show").splitlines()
        names = {line.split(":")[1].strip().partition("@")[0] for line in lines}
        return {name for name in names if name != "lo" and not name.startswith("br")}

    def bridges(self) -> set[str]:
        """Bridges."""
        lines = self.cloud.run("ip", "-o", "link", "show", "type", "bridge").splitlines()
        return {line.split(":")[1].strip() for line in lines}

    def rules(self) -> str:
        """The firewall's rules, but for the names of the devices that were unplugged last: they stay refused
        until the next card comes or goes."""
        rules = " ".join(self.cloud.run("nft", "list", "ruleset").split())
        return re.sub(r"(set strangers \{ type ifname) elements = \{[^}]*\}", r"\1", rules)

    def running(self, program: str) -> list[str]:
        """Command lines of this program."""
        return [
            one for one in self.cloud.processes().values() if Path(one.split()[0]).name.startswith(program)
        ]

    def folders(self) -> set[str]:
        """Instances that have a folder, by id."""
        uuid = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
        return {path.name for path in self.state.instances.iterdir() if uuid.fullmatch(path.name)}

    def remains(self) -> list[str]:
        """What is still there of a cloud that has ended: empty when it has tidied up."""
        return [
            *self.cloud.processes().values(),
            *self.taps(),
            *self.bridges(),
            *self.rules().split("\n", 1)[0].splitlines(),
            *([str(self.libvirtd.run_dir)] if self.libvirtd.run_dir.exists() else []),
        ]


@contextlib.contextmanager
def real_site(folder: Path, *sections: Sections) -> Iterator[RealSite]:
    """A cloud of real guests that has not been started; ended afterwards whatever happens."""
    require_root()
    if not GUEST.exists():
        pytest.fail("the guest image is missing: make guest")
    site = RealSite(Cloud(folder / "state"))
    site.state.path.mkdir(parents=True)
    (site.state.path / "novamesh.toml").write_text(toml(merged(HASTE, *sections)))
    try:
        yield site
    finally:
        site.cloud.close()

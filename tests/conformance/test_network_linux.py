"""The Linux network driver, by the suite, on a host that is a network namespace."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from drivers.network.linux import LinuxNetworkOptions
from drivers.network.linux.driver import LinuxNetworkDriver
from drivers.testsuite.network import NetworkDriverSuite
from novamesh.types.v1.network_pb2 import VirtualInterface
from tests.netns import GuestNamespace, need, own_namespace

pytestmark = pytest.mark.real


class LinuxHarness:
    checks = True

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o755)
        self.driver = LinuxNetworkDriver(LinuxNetworkOptions(networks_path=folder / "networks"))
        self._folder = folder
        self._guests: dict[tuple[str, str], GuestNamespace] = {}

    async def ask_dhcp(self, card: VirtualInterface) -> str | None:
        guest = self._guests.get((card.device, card.mac_address))
        if guest is None:
            for key in [key for key in self._guests if key[0] == card.device]:
                self._guests.pop(key).close()
            guest = GuestNamespace(card.device, card.network.bridge, card.mac_address, self._folder)
            self._guests[(card.device, card.mac_address)] = guest
        return await guest.dhcp()

    def close(self) -> None:
        for guest in self._guests.values():
            guest.close()


class TestLinuxNetworkDriver(NetworkDriverSuite):
    @pytest.fixture(autouse=True)
    def host(self) -> Iterator[None]:
        need("dnsmasq", "ip", "nsenter", "unshare", "busybox")
        with own_namespace():
            yield

    @pytest.fixture
    async def harness(self, host: None) -> AsyncIterator[LinuxHarness]:
        # Not below pytest's own folder, which dnsmasq's user may not enter.
        folder = Path("/run") / f"novamesh-test-{id(self):x}"
        folder.mkdir()
        harness = LinuxHarness(folder)
        try:
            await harness.driver.start()
            yield harness
        finally:
            await harness.driver.tear_down()
            await harness.driver.close()
            harness.close()
            for path in sorted(folder.rglob("*"), reverse=True):
                path.unlink() if path.is_file() else path.rmdir()
            folder.rmdir()

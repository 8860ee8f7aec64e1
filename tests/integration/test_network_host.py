"""Guests on a host's network: what they can do, what they can't, and what is left when it is gone.

The host is a network namespace, the guests and the neighbour outside are others.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from drivers.network.linux import METADATA_HOST, LinuxNetworkOptions
from drivers.network.linux.dnsmasq import running
from drivers.network.linux.driver import LinuxNetworkDriver
from drivers.network.linux.libnftables import Nftables
from drivers.testsuite.network import make_card, make_network
from gateway.metadata import open_listeners
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import VirtualInterface
from tests import frames
from tests.netns import GuestNamespace, Namespace, need, own_namespace

pytestmark = pytest.mark.real

OUTSIDE = "198.51.100.2"
TELL_PEER = (
    "import socket,sys\n"
    "s = socket.create_server(('0.0.0.0', 80)); print('up', flush=True)\n"
    "while True:\n"
    "    c, peer = s.accept(); c.recv(4096)\n"
    "    c.sendall(f'HTTP/1.0 200 OK\\r\\n\\r\\nyou are {peer[0]}'.encode()); c.close()\n"
)


class Site:
    """A host with a driver, and whoever is connected to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options = LinuxNetworkOptions(networks_path=folder / "networks")
        self.driver = LinuxNetworkDriver(self.options)
        self.namespaces: list[Namespace] = []

    async def guest(self, card: VirtualInterface) -> GuestNamespace:
        """Plug a card, boot its guest and let it take its address."""
        await self.driver.plug([card])
        guest = GuestNamespace(card.device, card.network.bridge, card.mac_address, self.folder)
        self.namespaces.append(guest)
        assert await guest.dhcp() == card.address
        return guest

    def outside(self) -> Namespace:
        """A neighbour of the host, with a web server that tells callers who they are."""
        outside = Namespace()
        self.namespaces.append(outside)
        outside.connect("eth0", "eth0")
        ip("addr", "add", "198.51.100.1/24", "dev", "eth0")
        outside.run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
        server = subprocess.Popen(outside.command(sys.executable, "-c", TELL_PEER), stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"up\n"
        outside.own(server)
        return outside


@pytest.fixture
def host() -> Iterator[None]:
    need("dnsmasq", "ip", "nsenter", "unshare", "busybox")
    with own_namespace():
        yield


@pytest.fixture
async def site(host: None) -> AsyncIterator[Site]:
    folder = Path("/run") / f"novamesh-test-{os.getpid()}"
    folder.mkdir()
    folder.chmod(0o755)
    site = Site(folder)
    try:
        await site.driver.start()
        yield site
    finally:
        await site.driver.tear_down()
        await site.driver.close()
        for namespace in site.namespaces:
            namespace.close()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()


def ip(*arguments: str) -> str:
    """The ip command, in the host's namespace."""
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, check=True).stdout


async def fetch(guest: Namespace, url: str) -> str | None:
    # busybox's own `wget -T` crashes in Debian 12.
    code, output = await guest.try_run("timeout", "2", "busybox", "wget", "-q", "-O", "-", url)
    return output if code == 0 else None


async def test_a_guest_reaches_whom_it_should(site: Site) -> None:
    network = make_network()
    site.outside()
    one = await site.guest(make_card(network, 5))
    other = await site.guest(make_card(network, 6))
    assert await one.pings(network.gateway)
    assert await one.pings("10.80.0.6")
    assert await other.pings("10.80.0.5")
    # Under the host's address, not its own.
    assert await fetch(one, f"http://{OUTSIDE}/") == "you are 198.51.100.1"


async def test_metadata_sees_the_guests_own_address(site: Site) -> None:
    async def tell(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.host} for {request.remote}")

    app = web.Application()
    app.router.add_get("/{path:.*}", tell)
    runner = web.AppRunner(app)
    await runner.setup()
    # Before any network is there, as when a gateway starts first.
    for listener in open_listeners((METADATA_HOST,), site.options.metadata_port):
        await web.SockSite(runner, listener).start()
    try:
        outside = site.outside()
        guests = [await site.guest(make_card(make_network(number), 5)) for number in (0, 1)]
        assert await fetch(guests[0], "http://169.254.169.254/latest") == "169.254.169.254 for 10.80.0.5"
        assert await fetch(guests[1], "http://169.254.169.254/latest") == "169.254.169.254 for 10.81.0.5"
        outside.run("ip", "route", "add", METADATA_HOST, "via", "198.51.100.1")
        assert await fetch(outside, f"http://{METADATA_HOST}:{site.options.metadata_port}/") is None
    finally:
        await runner.cleanup()


async def test_what_guests_may_not_reach(site: Site) -> None:
    outside = site.outside()
    one = await site.guest(make_card(make_network(0), 5))
    other = await site.guest(make_card(make_network(1), 5))

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhost")
        writer.close()

    server = await asyncio.start_server(greet, "0.0.0.0", 8774)
    # The host's own services, by whichever address.
    assert await fetch(one, "http://10.80.0.1:8774/") is None
    assert await fetch(one, "http://10.81.0.1:8774/") is None
    assert await fetch(one, "http://198.51.100.1:8774/") is None
    assert await fetch(outside, "http://198.51.100.1:8774/") == "host"
    server.close()
    # Guests of another network, and guests from outside.
    assert not await one.pings("10.81.0.5")
    outside.run("ip", "route", "add", "10.80.0.0/24", "via", "198.51.100.1")
    assert not await outside.pings("10.80.0.5")
    assert await other.pings("10.81.0.1")
    # The host itself reaches guests: that is how a newcomer logs in.
    reached = await asyncio.create_subprocess_exec("busybox", "ping", "-c1", "-W2", "10.80.0.5", stdout=-3)
    assert await reached.wait() == 0


async def test_a_guest_cannot_speak_for_others(site: Site) -> None:
    network = make_network()
    liar, witness = make_card(network, 5), make_card(network, 6)
    from_liar = (await site.guest(liar)).packets("eth0")
    at_witness = (await site.guest(witness)).packets("eth0")
    me, them, foreign = liar.mac_address, witness.mac_address, "fa:16:3e:99:99:99"
    gateway = network.gateway

    def said(source: str, payload: bytes, source_mac: str = me) -> bytes:
        return frames.ethernet(source_mac, them, 0x0800, frames.ipv4(source, witness.address, payload))

    def arp(sender: tuple[str, str], marker: bytes, operation: int = 2) -> bytes:
        packet = frames.arp(operation, sender, (them, witness.address), marker)
        return frames.ethernet(me, frames.BROADCAST, 0x0806, packet)

    def ask(hardware: str, marker: bytes) -> bytes:
        packet = frames.udp(68, 67, frames.dhcp(1, hardware, marker))
        return frames.ethernet(
            me, frames.BROADCAST, 0x0800, frames.ipv4("0.0.0.0", "255.255.255.255", packet)
        )

    sent = [
        said(liar.address, frames.udp(7, 7, b"TRUE own address")),
        said("10.80.0.99", frames.udp(7, 7, b"LIE another address")),
        said(gateway, frames.udp(7, 7, b"LIE the gateway's address")),
        said(liar.address, frames.udp(7, 7, b"LIE another MAC"), foreign),
        said(liar.address, frames.udp(67, 68, b"LIE a DHCP server")),
        ask(me, b"TRUE asks for itself"),
        ask(them, b"LIE asks for its neighbour"),
        arp((me, liar.address), b"TRUE own ARP"),
        arp((me, "0.0.0.0"), b"TRUE ARP probe", operation=1),
        arp((me, gateway), b"LIE is the gateway"),
        arp((foreign, liar.address), b"LIE ARP of another MAC"),
        frames.ethernet(me, frames.BROADCAST, 0x86DD, b"LIE router advertisement".ljust(60)),
        frames.ethernet(me, frames.BROADCAST, 0x8100, b"\0\1\x08\0LIE in a VLAN".ljust(60)),
        frames.ethernet(me, frames.BROADCAST, 0x88B5, b"LIE of its own kind".ljust(60)),
        said(liar.address, frames.udp(7, 7, b"TRUE the end")),
    ]
    for frame in sent:
        from_liar.send(frame)
    seen: list[bytes] = []
    while not seen or b"the end" not in seen[-1]:
        frame = at_witness.recv(2048)
        # Its own answers quote what it got.
        if (b"TRUE" in frame or b"LIE" in frame) and frame[6:12] != frames.mac(them):
            seen.append(frame)
    assert seen == [frame for frame in sent if b"TRUE" in frame]

    # Once unplugged it says nothing at all, though its tap is still there.
    await site.driver.unplug([liar])
    from_liar.send(sent[0])
    at_host = frames.ethernet(me, frames.BROADCAST, 0x0806, b"")
    from_liar.send(at_host)
    await site.driver.plug([liar])
    from_liar.send(sent[-1])
    seen.clear()
    while not seen or b"the end" not in seen[-1]:
        frame = at_witness.recv(2048)
        if b"TRUE" in frame and frame[6:12] != frames.mac(them):
            seen.append(frame)
    assert seen == [sent[-1]]
    from_liar.close()
    at_witness.close()


async def test_dnsmasq_is_started_again_when_it_ends(site: Site) -> None:
    card = make_card(make_network(), 5)
    guest = await site.guest(card)
    ((pid, _),) = running(site.options.networks_path)
    os.kill(pid, signal.SIGKILL)
    while not (again := running(site.options.networks_path)) or again[0][0] == pid:
        await asyncio.sleep(0.05)
    while await guest.dhcp() != card.address:
        pass


async def test_a_later_process_finds_the_same_dnsmasq(site: Site) -> None:
    network = make_network()
    card = make_card(network, 5)
    guest = await site.guest(card)
    before = running(site.options.networks_path)
    (site.options.networks_path / network.id / "pid").unlink()
    await site.driver.close()
    site.driver = LinuxNetworkDriver(site.options)
    await site.driver.start()
    await site.driver.apply([network], [card, make_card(network, 6)])
    assert running(site.options.networks_path) == before
    assert await guest.dhcp() == card.address
    # Other settings need another process, and there is one.
    smaller = make_network(mtu=1400)
    await site.driver.apply([smaller], [make_card(smaller, 5)])
    ((pid, _),) = running(site.options.networks_path)
    assert pid != before[0][0]
    assert await guest.dhcp() == card.address


async def test_rules_that_somebody_flushed_come_back(site: Site) -> None:
    network = make_network()
    await site.guest(make_card(network, 5))
    tables = Nftables()
    tables.run("flush ruleset")
    other = await site.guest(make_card(network, 6))
    assert "tap00050080-4d" in tables.run("list set bridge novamesh cards")
    assert await other.pings("10.80.0.5")
    tables.close()


async def test_tear_down_leaves_nothing(site: Site) -> None:
    def state() -> tuple[str, str, str, str]:
        tables = Nftables()
        rules = tables.run("list ruleset")
        tables.close()
        return rules, ip("-br", "link"), ip("-br", "addr"), Path("/proc/sys/net/ipv4/ip_forward").read_text()

    before = state()
    await site.driver.apply([make_network(2)], [])
    await site.driver.plug([make_card(make_network(), 5), make_card(make_network(1), 5)])
    assert state() != before
    # By another process than the one that made it, which may have crashed.
    later = LinuxNetworkDriver(site.options)
    await later.tear_down()
    await later.close()
    assert state() == before
    assert not running(site.options.networks_path)
    assert not site.options.networks_path.exists()


async def test_a_bridge_takes_in_an_interface_and_gives_it_back(site: Site) -> None:
    def addresses(interface: str) -> list[str]:
        return ip("-br", "-4", "addr", "show", interface).split()[2:]

    def default_route() -> list[str]:
        return ip("route", "show", "default").split()[:5]

    outside = site.outside()
    ip("route", "add", "default", "via", OUTSIDE)
    network = make_network(bridge_interface="eth0")
    for _ in range(2):
        await site.driver.apply([network], [])
        assert addresses("eth0") == []
        assert set(addresses("br100")) == {"198.51.100.1/24", "10.80.0.1/24"}
        assert default_route() == ["default", "via", OUTSIDE, "dev", "br100"]
    assert await outside.pings("198.51.100.1")
    await site.driver.tear_down()
    assert addresses("eth0") == ["198.51.100.1/24"]
    assert default_route() == ["default", "via", OUTSIDE, "dev", "eth0"]


async def test_a_network_of_another_host_is_only_bridged_here(site: Site) -> None:
    network = make_network(host="elsewhere")
    await site.driver.apply([network], [])
    assert "br100" not in ip("-br", "link")
    await site.driver.plug([make_card(network, 5)])
    shown = ip("-br", "addr")
    assert "br100" in shown
    assert "10.80.0.1" not in shown
    assert not running(site.options.networks_path)


async def test_what_is_in_the_way_is_named(site: Site) -> None:
    # A name server that listens everywhere leaves dnsmasq no port 53.
    taken = await asyncio.start_server(lambda reader, writer: None, "0.0.0.0", 53)
    with pytest.raises(DriverFailureError, match="Address already in use"):
        await site.driver.plug([make_card(make_network(), 5)])
    taken.close()
    await taken.wait_closed()
    await site.driver.plug([make_card(make_network(), 5)])

    with pytest.raises(DriverFailureError, match="no interface nosuch"):
        await site.driver.plug([make_card(make_network(1, bridge_interface="nosuch"), 5)])


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    return tmp_path


async def test_a_folder_that_dnsmasq_could_not_enter(host: None, closed_folder: Path) -> None:
    driver = LinuxNetworkDriver(LinuxNetworkOptions(networks_path=closed_folder / "networks"))
    with pytest.raises(DriverFailureError, match="can't enter"):
        await driver.start()
    await driver.close()

"""One Linux host made as it is to be. Blocking, and for one thread: the driver gives it one."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from drivers.network.linux import leases, links, rules
from drivers.network.linux.dnsmasq import Dnsmasq, end, running
from drivers.network.linux.libnftables import Nftables
from drivers.network.linux.links import Links
from drivers.network.linux.options import LinuxNetworkOptions
from drivers.network.linux.traces import Traces
from drivers.network.protocols import PluggedCard, serves
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

_LOOPBACK = "lo"
_OWN_RUN = Path("/run/novamesh")


class LinuxHost:
    """The picture of what should be, and the means to make it so."""

    def __init__(self, options: LinuxNetworkOptions) -> None:
        self._options = options
        self._networks: dict[str, Network] = {}
        self._cards: dict[str, VirtualInterface] = {}
        # What the tables hold now, by card id; None when that is not known.
        self._ruled: dict[str, VirtualInterface] | None = None
        # Devices that the tables hold as strangers.
        self._strangers: set[str] = set()
        self._servers: dict[str, Dnsmasq] = {}
        self._traces_file = options.networks_path / "traces.json"
        self._traces = Traces()
        self._nftables: Nftables | None = None
        self._links: Links | None = None

    def check(self) -> None:
        """Raise DriverFailureError for the first thing that is missing on this host."""
        if os.geteuid() != 0:
            raise DriverFailureError(
                "network", "check the host", "The Linux network driver needs root (CAP_NET_ADMIN)."
            )
        if shutil.which("dnsmasq") is None:
            raise DriverFailureError(
                "network", "check the host", "There is no dnsmasq: install dnsmasq-base."
            )
        self._tables().run("list tables")
        folder = self._options.networks_path
        for parent in (parent for parent in (folder, *folder.resolve().parents) if parent.exists()):
            if not parent.stat().st_mode & 0o001:
                raise DriverFailureError(
                    "network",
                    "check the host",
                    f"dnsmasq's unprivileged user can't enter {parent}: chmod o+x it, or move networks_path.",
                )
        self._traces = Traces.load(self._traces_file)

    def apply(self, networks: Iterable[Network], cards: Iterable[VirtualInterface]) -> None:
        """Replace the picture and make the host so."""
        self._cards = {card.id: card for card in cards}
        # A network of other hosts is made here once it has a card here.
        self._networks = {network.id: network for network in networks if serves(network, self._options.host)}
        self._networks |= {card.network.id: card.network for card in self._cards.values()}
        self._ruled = None
        self._forget_networks()
        self._make()
        self._release()

    def change(self, plug: Iterable[VirtualInterface], unplug: Iterable[VirtualInterface]) -> None:
        """Change the picture and make the host so. A card that is in both is plugged."""
        changed = False
        for card in unplug:
            changed |= self._cards.pop(card.id, None) is not None
        for card in plug:
            was = self._cards.get(card.id)
            changed |= was is not None and not _same(was, card)
            self._cards[card.id] = card
            if self._networks.get(card.network.id) != card.network:
                self._networks[card.network.id] = card.network
                self._ruled = None
        self._make()
        if changed:
            self._release()

    def repair(self) -> None:
        """Make the host as the picture says, trusting nothing."""
        self._ruled = None
        self._make()

    def plugged(self) -> list[PluggedCard]:
        """The picture, with the leases that were taken."""
        taken = {
            (address, mac)
            for server in self._servers.values()
            for address, (mac, _) in server.leases().items()
        }
        return [PluggedCard(card, (card.address, card.mac_address) in taken) for card in self._cards.values()]

    def server_pids(self) -> set[int]:
        """Processes whose end should be noticed."""
        return {server.pid for server in self._servers.values() if server.pid}

    def tear_down(self) -> None:
        """Undo all that this process or an earlier one has made."""
        options = self._options
        self._networks, self._cards, self._servers, self._ruled = {}, {}, {}, None
        for pid, _ in running(options.networks_path):
            end(pid)
        self._tables().run(rules.remove(options.nft_table))
        traces = Traces.load(self._traces_file)
        for interface, address in traces.addresses:
            if interface not in traces.bridges and links.exists(interface):
                plain, _, prefix = address.partition("/")
                self._interfaces().remove_address(interface, plain, int(prefix))
        for bridge, uplink in traces.bridges.items():
            own = {address for interface, address in traces.addresses if interface == bridge}
            self._interfaces().remove_bridge(bridge, uplink, own)
        for name, value in traces.sysctls.items():
            links.set_sysctl(name, value)
        self._traces = Traces()
        if options.networks_path.exists():
            for folder in (path.parent for path in options.networks_path.glob("*/hosts")):
                shutil.rmtree(folder)
            self._traces_file.unlink(missing_ok=True)
            with suppress(OSError):
                options.networks_path.rmdir()
                if options.networks_path.parent == _OWN_RUN:
                    # Empty unless another cloud on this machine is up.
                    _OWN_RUN.rmdir()

    def close(self) -> None:
        """Close what is open in this process."""
        if self._nftables:
            self._nftables.close()
        if self._links:
            self._links.close()
        self._nftables = self._links = None

    def _make(self) -> None:
        if self._ruled is None or not all(links.exists(n.bridge) for n in self._networks.values()):
            self._make_links()
            # Rules before dnsmasq: nobody is answered whom the rules don't hold.
            self._make_rules()
        else:
            self._change_rules(self._ruled)
        self._make_servers()

    def _make_links(self) -> None:
        options, interfaces = self._options, self._interfaces()
        served = self._served()
        for network in self._networks.values():
            known = self._traces.bridges.get(network.bridge)
            if known != network.bridge_interface and (known is not None or not links.exists(network.bridge)):
                self._traces.bridges[network.bridge] = network.bridge_interface
                self._traces.save(self._traces_file)
            interfaces.make_bridge(network, options.network_device_mtu)
        for network in served:
            prefix = IPv4Network(network.cidr).prefixlen
            self._give_address(network.bridge, network.gateway, prefix)
            if network.dhcp_server and network.dhcp_server != network.gateway:
                self._give_address(network.bridge, network.dhcp_server, prefix)
        if served:
            if IPv4Address(options.metadata_host).is_link_local:
                self._give_address(_LOOPBACK, options.metadata_host, 32)
            if links.set_sysctl("ipv4/ip_forward", "1", self._traces):
                self._traces.save(self._traces_file)

    def _give_address(self, interface: str, address: str, prefix: int) -> None:
        full = f"{address}/{prefix}"
        if full in self._interfaces().addresses(interface):
            return
        if [interface, full] not in self._traces.addresses:
            self._traces.addresses.append([interface, full])
            self._traces.save(self._traces_file)
        self._interfaces().add_address(interface, address, prefix)

    def _make_rules(self) -> None:
        strangers: set[str] = set()
        devices = {card.device for card in self._cards.values()}
        for network in self._networks.values():
            if network.bridge in self._traces.bridges:
                strangers |= self._interfaces().ports(network.bridge) - {network.bridge_interface}
        cards = list(self._cards.values())
        self._strangers = strangers - devices
        self._tables().run(rules.full(self._options, self._served(), cards, self._strangers))
        self._ruled = dict(self._cards)

    def _change_rules(self, ruled: dict[str, VirtualInterface]) -> None:
        come = [card for id, card in self._cards.items() if not _same(card, ruled.get(id))]
        gone = [card for id, card in ruled.items() if not _same(card, self._cards.get(id))]
        if not come and not gone:
            return
        # Until this has answered it isn't known which of the two is there.
        self._ruled = None
        try:
            # A guest's device ends before or after its card is unplugged; without this its name would stay.
            forgotten = {name for name in self._strangers if not links.exists(name)}
            self._tables().run(rules.change(self._options.nft_table, gone, come, forgotten))
            self._strangers -= forgotten | {card.device for card in come}
            self._strangers |= {card.device for card in gone} - {card.device for card in come}
        except DriverFailureError:
            # Somebody else has changed our tables: take them as they should be.
            self._make_rules()
        self._ruled = dict(self._cards)

    def _make_servers(self) -> None:
        by_network: dict[str, list[VirtualInterface]] = {}
        for card in self._cards.values():
            by_network.setdefault(card.network.id, []).append(card)
        for network in self._served():
            server = self._servers.get(network.id)
            if server is None or server.network != network:
                server = self._servers[network.id] = Dnsmasq(network, self._options)
            server.ensure(by_network.get(network.id, ()))

    def _forget_networks(self) -> None:
        """End the DHCP servers and remove the bridges that nothing in the picture needs."""
        served = {network.id for network in self._served()}
        self._servers = {id: server for id, server in self._servers.items() if id in served}
        for pid, path in running(self._options.networks_path):
            if Path(path).parent.name not in served:
                end(pid)
                shutil.rmtree(Path(path).parent, ignore_errors=True)
        bridges = {network.bridge for network in self._networks.values()}
        for bridge, uplink in list(self._traces.bridges.items()):
            # One that still has guests on it is left to them; the next start looks again.
            if bridge not in bridges and not self._interfaces().ports(bridge) - {uplink}:
                own = {address for interface, address in self._traces.addresses if interface == bridge}
                self._interfaces().remove_bridge(bridge, uplink, own)
                del self._traces.bridges[bridge]
                self._traces.addresses = [pair for pair in self._traces.addresses if pair[0] != bridge]
                self._traces.save(self._traces_file)

    def _release(self) -> None:
        """Give back the leases that belong to no card, in their guests' name."""
        if not self._options.force_dhcp_release:
            return
        cards = {(card.address, card.mac_address) for card in self._cards.values()}
        for server in self._servers.values():
            network = server.network
            for address, (mac, client_id) in server.leases().items():
                if (address, mac) not in cards:
                    # Not given back, it ends by itself: no reason to fail the delete of a guest.
                    with suppress(OSError):
                        dhcp_server = network.dhcp_server or network.gateway
                        leases.give_back(network.bridge, dhcp_server, mac, address, client_id)

    def _served(self) -> Sequence[Network]:
        return [network for network in self._networks.values() if serves(network, self._options.host)]

    def _tables(self) -> Nftables:
        if self._nftables is None:
            self._nftables = Nftables()
        return self._nftables

    def _interfaces(self) -> Links:
        if self._links is None:
            self._links = Links()
        return self._links


def _same(one: VirtualInterface, other: VirtualInterface | None) -> bool:
    """Whether the rules of two cards are the same."""
    return other is not None and (one.device, one.mac_address, one.address, one.network.id) == (
        other.device,
        other.mac_address,
        other.address,
        other.network.id,
    )

"""Bridges, addresses and kernel settings, by rtnetlink."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from drivers.network.linux.traces import Traces
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import Network

_SYSCTLS = Path("/proc/sys/net")
_PROTOCOL_KERNEL = 2
_SCOPE_LINK = 253


def exists(interface: str) -> bool:
    """Whether there is an interface by this name, here and now."""
    try:
        return socket.if_nametoindex(interface) > 0
    except OSError:
        return False


def set_sysctl(name: str, value: str, traces: Traces | None = None) -> bool:
    """Set one of /proc/sys/net and say whether it had to be changed; note in `traces` what it was."""
    path = _SYSCTLS / name
    try:
        was = path.read_text().strip()
        if was == value:
            return False
        if traces is not None:
            traces.sysctls.setdefault(name, was)
        path.write_text(value)
    except OSError as error:
        raise DriverFailureError("network", "sysctl", f"{path} can't be set to {value}: {error}") from error
    return True


class Links:
    """The host's interfaces, over one netlink socket. Not for two threads at once."""

    def __init__(self) -> None:
        self._netlink = IPRoute()

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def make_bridge(self, network: Network, mtu: int = 0) -> None:
        """Make the network's bridge as it is to be; `mtu` is for a network that has none of its own."""
        with _named(f"make bridge {network.bridge}"):
            if not exists(network.bridge):
                self._add_bridge(network)
            index = self._index(network.bridge)
            mtu = network.mtu or mtu
            if mtu:
                self._netlink.link("set", index=index, mtu=mtu)
            self._netlink.link("set", index=index, state="up")
            if network.bridge_interface:
                self._take_in(network.bridge_interface, index)
        # A guest that sends router advertisements must not give the host an address.
        if (_SYSCTLS / "ipv6/conf" / network.bridge).exists():
            set_sysctl(f"ipv6/conf/{network.bridge}/accept_ra", "0")

    def add_address(self, interface: str, address: str, prefix: int) -> None:
        """Give an interface an address that it may have already."""
        scope = {"scope": _SCOPE_LINK} if interface == "lo" else {}
        with _named(f"give {interface} the address {address}/{prefix}"):
            self._netlink.addr(
                "replace", index=self._index(interface), address=address, prefixlen=prefix, **scope
            )

    def remove_address(self, interface: str, address: str, prefix: int) -> None:
        """Take an address away; what is not there is gone already."""
        with _named(f"take {address}/{prefix} from {interface}"), _absent():
            self._netlink.addr("del", index=self._index(interface), address=address, prefixlen=prefix)

    def addresses(self, interface: str) -> set[str]:
        """The interface's IPv4 addresses, as `address/prefix`."""
        index = self._index(interface)
        return {
            f"{address.get('IFA_LOCAL')}/{address['prefixlen']}"
            for address in self._netlink.get_addr(family=socket.AF_INET, index=index)
        }

    def ports(self, bridge: str) -> set[str]:
        """Names of the interfaces on a bridge."""
        if not exists(bridge):
            return set()
        index = self._index(bridge)
        return {
            link.get("IFLA_IFNAME") for link in self._netlink.get_links() if link.get("IFLA_MASTER") == index
        }

    def remove_bridge(self, bridge: str, uplink: str, own: set[str]) -> None:
        """Remove a bridge. Its uplink gets back the addresses and routes that the bridge took from it.

        `own` are the addresses (`address/prefix`) that go with the bridge.
        """
        if not exists(bridge):
            return
        with _named(f"remove bridge {bridge}"), _absent():
            index = self._index(bridge)
            if uplink and exists(uplink):
                for address in own:
                    plain, _, prefix = address.partition("/")
                    self.remove_address(bridge, plain, int(prefix))
                self._netlink.link("set", index=self._index(uplink), master=0)
                self._move(index, self._index(uplink))
            self._netlink.link("del", index=index)

    def _add_bridge(self, network: Network) -> None:
        if network.bridge_interface:
            link = next(iter(self._netlink.get_links(self._index(network.bridge_interface))))
            mac = link.get("IFLA_ADDRESS")
        else:
            # A bridge without an address of its own takes the lowest of its ports', and so changes
            # its address under the guests' feet whenever one comes or goes.
            mac = "02:" + os.urandom(5).hex(":")
        try:
            self._netlink.link(
                "add", kind="bridge", ifname=network.bridge, address=mac, br_stp_state=0, br_forward_delay=0
            )
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise

    def _take_in(self, uplink: str, bridge: int) -> None:
        index = self._index(uplink)
        link = next(iter(self._netlink.get_links(index)))
        if link.get("IFLA_MASTER") == bridge:
            return
        self._netlink.link("set", index=index, master=bridge, state="up")
        self._move(index, bridge)

    def _move(self, source: int, target: int) -> None:
        """Move IPv4 addresses and routes, links before gateways, so that the host stays reachable."""
        addresses = list(self._netlink.get_addr(family=socket.AF_INET, index=source))
        routes = [
            route
            for route in self._netlink.get_routes(family=socket.AF_INET, oif=source, table=254)
            if route["proto"] != _PROTOCOL_KERNEL
        ]
        for address in addresses:
            where: dict[str, Any] = {"address": address.get("IFA_LOCAL"), "prefixlen": address["prefixlen"]}
            self._netlink.addr("del", index=source, **where)
            self._netlink.addr("replace", index=target, broadcast=address.get("IFA_BROADCAST"), **where)
        for route in sorted(routes, key=lambda route: route.get("RTA_GATEWAY") is not None):
            self._netlink.route(
                "replace",
                dst=f"{route.get('RTA_DST') or '0.0.0.0'}/{route['dst_len']}",
                oif=target,
                gateway=route.get("RTA_GATEWAY"),
                prefsrc=route.get("RTA_PREFSRC"),
                priority=route.get("RTA_PRIORITY"),
                scope=route["scope"],
                proto=route["proto"],
            )

    def _index(self, interface: str) -> int:
        try:
            return socket.if_nametoindex(interface)
        except OSError as error:
            raise DriverFailureError(
                "network", "find interface", f"There is no interface {interface} on this host."
            ) from error


@contextmanager
def _named(action: str) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        why = os.strerror(error.code)
        raise DriverFailureError("network", action, f"The kernel refused to {action}: {why}.") from error


@contextmanager
def _absent() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENOENT):
            raise

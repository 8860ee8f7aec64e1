"""dnsmasq: one process a network, started when it is missing and found again by whoever comes after.

Its command line holds nothing but the name of its configuration, and that name holds a
digest of it. So /proc says which dnsmasq is ours, of which network and with which settings,
even when its pid file was lost; there are never two.
"""

import hashlib
import os
import select
import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from drivers.network.linux import leases
from drivers.network.linux.cards import dhcp_name
from drivers.network.linux.options import LinuxNetworkOptions
from drivers.network.linux.traces import write_file
from novamesh.failures import DriverFailureError
from novamesh.types.v1.network_pb2 import Network, VirtualInterface

_GOING_MS = 3000


def configuration(network: Network, folder: Path, options: LinuxNetworkOptions) -> str:
    """The configuration of a network's dnsmasq (dnsmasq(8), long options without dashes)."""
    gateway = network.gateway
    subnet = IPv4Network(network.cidr)
    servers = [server for server in (network.dns1, network.dns2) if server]
    lines = [
        f"# Network {network.id}. Written by novamesh; changes are lost.",
        "bind-interfaces",
        f"listen-address={network.dhcp_server or gateway}",
        "except-interface=lo",
        f"pid-file={folder}/pid",
        f"dhcp-leasefile={folder}/leases",
        f"dhcp-hostsfile={folder}/hosts",
        # Only whom the hosts file names gets an answer.
        f"dhcp-range={subnet.network_address},static,{subnet.netmask},{options.dhcp_lease_time}s",
        "dhcp-ignore=tag:!known",
        f"dhcp-lease-max={subnet.num_addresses}",
        "dhcp-authoritative",
        "dhcp-no-override",
        "no-ping",
        "no-hosts",
        "quiet-dhcp",
        f"dhcp-option=option:router,{gateway}",
        # A guest of this name would be asked by its neighbours' browsers for a proxy.
        "dhcp-name-match=set:wpad-ignore,wpad",
        "dhcp-ignore-names=tag:wpad-ignore",
    ]
    if options.serve_dns or servers:
        lines.append(f"dhcp-option=option:dns-server,{','.join(servers or [gateway])}")
    if options.serve_dns:
        # Names without a dot and private addresses are known here or nowhere: no question goes out.
        lines += ["domain-needed", "bogus-priv"]
        if options.dns_server:
            lines += ["no-resolv", *(f"server={server}" for server in options.dns_server)]
    else:
        lines.append("port=0")
    if options.dhcp_domain:
        lines += [f"domain={options.dhcp_domain}", f"local=/{options.dhcp_domain}/"]
    mtu = network.mtu or options.network_device_mtu
    if mtu:
        lines.append(f"dhcp-option=option:mtu,{mtu}")
    if options.dnsmasq_config_file:
        lines.append(f"conf-file={options.dnsmasq_config_file}")
    return "\n".join(lines) + "\n"


def hosts(cards: Iterable[VirtualInterface]) -> str:
    """The hosts file: who gets which address and name. A client id is not looked at: the MAC decides."""
    return "".join(
        f"{card.mac_address},id:*,{card.address},{dhcp_name(card)}\n"
        for card in sorted(cards, key=lambda card: card.id)
    )


class Dnsmasq:
    """The DHCP and DNS server of one network on this host."""

    def __init__(self, network: Network, options: LinuxNetworkOptions) -> None:
        self.network = network
        self.folder = options.networks_path / network.id
        self._text = configuration(network, self.folder, options)
        digest = hashlib.sha256(self._text.encode()).hexdigest()[:12]
        self._configuration = self.folder / f"dnsmasq.{digest}.conf"
        self._hosts: str | None = None
        self.pid = 0

    def ensure(self, cards: Iterable[VirtualInterface]) -> None:
        """Run, with these settings and hosts. Raises DriverFailureError with dnsmasq's own words."""
        text = hosts(cards)
        alive = self._alive(self.pid)
        if alive and text == self._hosts:
            return
        write_file(self.folder / "hosts", text)
        self._hosts = text
        if not alive:
            self.pid = self._adopt()
        if self.pid:
            os.kill(self.pid, signal.SIGHUP)
        else:
            self.pid = self._run()

    def leases(self) -> dict[str, tuple[str, str]]:
        """By address: MAC address and client id."""
        return leases.read(self.folder / "leases")

    def _alive(self, pid: int) -> bool:
        return bool(pid) and f"--conf-file={self._configuration}" in _arguments(pid)

    def _adopt(self) -> int:
        """The process that runs with these settings, or 0. Those with others are ended."""
        ours = 0
        for pid, path in running(self.folder):
            if path == str(self._configuration) and not ours:
                ours = pid
            else:
                end(pid)
        return ours

    def _run(self) -> int:
        for stale in self.folder.glob("dnsmasq.*.conf"):
            stale.unlink()
        write_file(self._configuration, self._text)
        command = ["dnsmasq", f"--conf-file={self._configuration}"]
        try:
            # It leaves for the background once its sockets are open, or says why they aren't.
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False, cwd="/"
            )
        except FileNotFoundError as error:
            raise DriverFailureError(
                "network", "start dnsmasq", "There is no dnsmasq: install dnsmasq-base."
            ) from error
        except subprocess.TimeoutExpired as error:
            raise DriverFailureError("network", "start dnsmasq", "dnsmasq was not up after 20 s.") from error
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().removeprefix("dnsmasq: ")
            raise DriverFailureError(
                "network", "start dnsmasq", f"dnsmasq for {self.network.gateway} ended: {said}"
            )
        return int((self.folder / "pid").read_text())


def running(folder: Path) -> list[tuple[int, str]]:
    """Every dnsmasq with a configuration below `folder`: its pid and that configuration's path."""
    found = []
    prefix = f"--conf-file={folder}/"
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        for argument in _arguments(int(entry.name)):
            if argument.startswith(prefix):
                found.append((int(entry.name), argument.removeprefix("--conf-file=")))
    return found


def end(pid: int) -> None:
    """End a process and wait until it is gone."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            for sign in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(handle, sign)
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if poll.poll(_GOING_MS):
                    return
        finally:
            os.close(handle)


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []

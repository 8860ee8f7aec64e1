"""What a machine must have to run a cloud, each as one check with a way to mend it."""

import ctypes.util
import os
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

GIB = 2**30


class Level(Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found. `mend` is what to do about it, empty when all is well."""

    name: str
    level: Level
    text: str
    mend: str = ""


def ok(name: str, text: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(name, Level.OK, text)


def privileges() -> Finding:
    """Bridges, taps and nftables rules need CAP_NET_ADMIN."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:") and int(line.split()[1], 16) & (1 << 12):
            return ok("privileges", "may make bridges and firewall rules")
    return Finding(
        "privileges",
        Level.MISSING,
        "this user may not make bridges and firewall rules",
        "run it as root (sudo)",
    )


def program(name: str, package: str, purpose: str) -> Finding:
    """A program that the cloud starts."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path:
        return ok(name, f"{path}, {purpose}")
    return Finding(name, Level.MISSING, f"not installed: {purpose}", f"apt-get install {package}")


def nftables() -> Finding:
    """libnftables, and a kernel that takes its rules."""
    if ctypes.util.find_library("nftables") is None:
        return Finding("nftables", Level.MISSING, "libnftables is not installed", "apt-get install nftables")
    return ok("nftables", "libnftables is there")


def tun() -> Finding:
    """Taps for guests come from /dev/net/tun."""
    if Path("/dev/net/tun").exists():
        return ok("tun", "/dev/net/tun is there")
    return Finding("tun", Level.MISSING, "/dev/net/tun is not there", "modprobe tun")


def forwarding() -> Finding:
    """Guests reach the outside only when the kernel forwards."""
    if Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1":
        return ok("forwarding", "the kernel forwards IPv4")
    return ok("forwarding", "off; the network role turns it on when it starts (net.ipv4.ip_forward)")


def disk(folder: Path, needed_gib: float) -> Finding:
    """Room for images and instances."""
    place = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    free = shutil.disk_usage(place).free / GIB
    text = f"{free:.1f} GiB free below {place}"
    if free >= needed_gib:
        return ok("disk", text)
    return Finding("disk", Level.WARNING, text, f"at least {needed_gib:g} GiB, or another --state-dir")


def memory(needed_gib: float) -> Finding:
    """Room for guests."""
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024 / GIB
    text = f"{free:.1f} GiB of memory available"
    if free >= needed_gib:
        return ok("memory", text)
    return Finding("memory", Level.WARNING, text, f"{needed_gib:g} GiB let a few small guests run")


def port(host: str, number: int, option: str) -> Finding:
    """A TCP port that something is to listen on; `option` is what moves it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            text = f"{host}:{number} can't be used: {os.strerror(error.errno or 0)}"
            mend = f"end what listens there, or choose another with {option}"
            return Finding(f"port {number}", Level.MISSING, text, mend)
    return ok(f"port {number}", f"{host}:{number} is free")


def state_folder(folder: Path) -> Finding:
    """The folder that everything is kept in."""
    place = next(p for p in (folder, *folder.resolve().parents) if p.exists())
    if os.access(place, os.W_OK):
        return ok("state", f"{folder} can be written")
    return Finding("state", Level.MISSING, f"{place} can't be written", "another --state-dir")


Check = Callable[[], Finding]


def host_checks() -> Iterator[Check]:
    """What a compute host with the libvirt driver and a network needs."""
    yield privileges
    for name, package, purpose in (
        ("libvirtd", "libvirt-daemon-system", "runs guests"),
        ("virtlogd", "libvirt-daemon-system", "keeps guests' console logs"),
        ("qemu-system-x86_64", "qemu-system-x86", "runs guests"),
        ("qemu-img", "qemu-utils", "makes guests' disks"),
        ("genisoimage", "genisoimage", "makes config drives"),
        ("dnsmasq", "dnsmasq-base", "gives guests their addresses"),
    ):
        yield partial(program, name, package, purpose)
    yield nftables
    yield tun
    yield forwarding


def run(checks: Iterable[Check]) -> list[Finding]:
    """All findings in order."""
    return [check() for check in checks]

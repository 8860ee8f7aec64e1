"""Network namespaces for tests: a host of one's own, and guests and neighbours on it. Needs root."""

import asyncio
import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000
_ETH_P_ALL = 3


def need(*programs: str) -> None:
    """Fail with the name of what is missing and how to get it."""
    if os.geteuid() != 0:
        pytest.fail("needs root: network namespaces are made here")
    packages = {
        "dnsmasq": "dnsmasq-base",
        "busybox": "busybox-static",
        "ip": "iproute2",
        "nsenter": "util-linux",
        "unshare": "util-linux",
    }
    for program in programs:
        if shutil.which(program) is None:
            pytest.fail(f"needs {program}: apt-get install {packages.get(program, program)}")


@contextmanager
def own_namespace() -> Iterator[None]:
    """Put this thread, and the threads and processes it starts, into a fresh network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as outside:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            yield
        finally:
            if libc.setns(outside.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


class Namespace:
    """Another network namespace, held by a sleeping process."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo ready; exec sleep 3600"], stdout=subprocess.PIPE
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self._processes: list[subprocess.Popen[bytes]] = [self._holder]
        self.run("ip", "link", "set", "lo", "up")

    def own(self, process: "subprocess.Popen[bytes]") -> None:
        """A process that ends with this namespace."""
        self._processes.append(process)

    @property
    def pid(self) -> int:
        return self._holder.pid

    def connect(self, here: str, there: str, mac: str = "") -> None:
        """A cable: interface `here` in the calling thread's namespace, `there` in this one."""
        peer = ["address", mac] if mac else []
        subprocess.run(
            ["ip", "link", "add", here, "type", "veth", "peer", "name", there, *peer, "netns", str(self.pid)],
            check=True,
        )
        subprocess.run(["ip", "link", "set", here, "up"], check=True)
        self.run("ip", "link", "set", there, "up")

    def command(self, *arguments: str) -> list[str]:
        return ["nsenter", "-t", str(self.pid), "-n", "--", *arguments]

    def run(self, *arguments: str) -> str:
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def packets(self, interface: str) -> socket.socket:
        """A raw Ethernet socket on an interface of this namespace."""

        def open_there() -> socket.socket:
            # The thread ends in that namespace; the socket stays in it and is ours.
            with open(f"/proc/{self.pid}/ns/net") as there:
                if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            opened.bind((interface, 0))
            opened.settimeout(10)
            return opened

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(open_there).result()

    async def try_run(self, *arguments: str) -> tuple[int, str]:
        """Run without blocking the event loop; exit code and output."""
        process = await asyncio.create_subprocess_exec(
            *self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        output, _ = await process.communicate()
        return process.returncode or 0, output.decode(errors="replace")

    async def pings(self, address: str) -> bool:
        code, _ = await self.try_run("busybox", "ping", "-c", "2", "-i", "0.2", "-W", "1", address)
        return code == 0

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()


class GuestNamespace(Namespace):
    """A guest: a network card on a bridge, with busybox inside."""

    def __init__(self, device: str, bridge: str, mac: str, folder: Path) -> None:
        super().__init__()
        self.connect(device, "eth0", mac)
        subprocess.run(["ip", "link", "set", device, "master", bridge], check=True)
        self._script = folder / "udhcpc.sh"
        self._script.write_text(
            "#!/bin/busybox sh\n"
            '[ "$1" = bound ] || exit 0\n'
            'ip addr replace "$ip/$mask" dev "$interface"\n'
            'ip route replace default via "$router" dev "$interface"\n'
            'echo "bound $ip dns=$dns hostname=$hostname domain=$domain mtu=$mtu"\n'
        )
        self._script.chmod(0o755)

    async def dhcp(self, tries: int = 2) -> str | None:
        """Take a lease; None when nobody answers."""
        code, output = await self.try_run(
            "busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", str(tries), "-T", "1",
            "-s", str(self._script),
        )  # fmt: skip
        for line in output.splitlines():
            if line.startswith("bound "):
                return line.split()[1]
        assert code != 0, output
        return None

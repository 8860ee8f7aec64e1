"""A libvirtd of one's own, for machines where none runs (containers, or no systemd).

It and its virtlogd live in a mount namespace in which `/run/libvirt`,
`/etc/libvirt` and the other folders that libvirt has compiled in lead to a state
folder, so neither the machine's configuration nor another libvirtd is touched.
Networks are those of whoever calls: a bridge made there is seen by the guests.

Both daemons outlive their parent, so that guests run on when it is killed; the
next `start` with the same state folder takes them over. `stop` ends the guests
and leaves nothing but definitions and logs in the state folder.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

import structlog

from drivers.virt.libvirt import reaper
from novamesh.failures import UnavailableError

_log = structlog.get_logger("novamesh.libvirt")

# Seconds before a libvirtd that ended is looked at again.
_AGAIN = 1.0

# $1: state folder; $2: run folder; $3: virtlogd, unless that runs already. Mounts made outside later have to
# be seen inside, hence a slave namespace.
_SCRIPT = """
set -e
mkdir -p /run/libvirt
mount --bind "$2" /run/libvirt
for pair in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt; do
  mkdir -p "${pair#*:}"
  mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
if [ "$3" = virtlogd ]; then
  virtlogd -d -p /run/libvirt/virtlogd.pid -f /etc/libvirt/virtlogd.conf
fi
exec libvirtd -d -p /run/libvirt/libvirtd.pid -f /etc/libvirt/libvirtd.conf
"""

# No cgroups: a second libvirtd on the machine uses the same names below /sys/fs/cgroup/*/machine, and would
# end the guests that it finds there.
# A /dev for each guest can't be made in every container and chroot.
_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
stdio_handler = "logd"
cgroup_controllers = []
namespaces = []
"""

_LIBVIRTD_CONF = """\
listen_tls = 0
listen_tcp = 0
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
unix_sock_rw_perms = "0700"
host_uuid = "{host_uuid}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

# A guest can fill its console log with 2 MiB, three times over, and no more.
_VIRTLOGD_CONF = """\
max_size = 2097152
max_backups = 2
log_outputs = "3:file:/var/log/libvirt/virtlogd.log"
"""


class PrivateLibvirtd:
    """One libvirtd with its virtlogd, for one state folder."""

    def __init__(self, state_dir: str | Path) -> None:
        self.state_dir = Path(state_dir).absolute()
        # A socket's path may have 107 characters, which a state folder deep in a home uses up.
        digest = hashlib.sha256(os.fsencode(self.state_dir)).hexdigest()[:12]
        self.run_dir = Path("/run") / f"novamesh-libvirt-{digest}"

    @property
    def uri(self) -> str:
        """What to put into `[libvirt] connection_uri`."""
        return f"qemu+unix:///system?socket={self.run_dir}/libvirt-sock"

    async def start(self, timeout: float = 20.0) -> str:
        """Start both daemons, or find them running from before; return the URI when libvirtd answers.

        Raises UnavailableError("libvirt") that says what is missing or what its log says.
        """
        if await self._answers():
            _log.info("found own libvirtd running", uri=self.uri)
            return self.uri
        # The rest of a libvirtd that died stays: it says which guests run, and virtlogd writes their logs.
        await self._end("libvirtd")
        _require_programs()
        self._prepare()
        virtlogd = "" if self._pids([self.run_dir / "virtlogd.pid"], "virtlogd") else "virtlogd"
        # A file, not a pipe: some event loops leave the pipe's other end open in the daemons.
        said = self.state_dir / "log" / "start.log"
        with said.open("wb") as printed:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", reaper.__file__,
                "unshare", "--mount", "--propagation", "slave", "sh", "-c", _SCRIPT, "libvirtd",
                str(self.state_dir), str(self.run_dir), virtlogd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=printed,
                start_new_session=True,
            )  # fmt: skip
            failed = await process.wait()
        if failed:
            await self._end("libvirtd")
            raise UnavailableError(
                "libvirt", f"libvirtd didn't start: {said.read_text(errors='replace').strip()}"
            )
        try:
            async with asyncio.timeout(timeout):
                # libvirtd forks before it reads its drivers' state, and says nowhere when it is done.
                while not await self._answers():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            await self._end("libvirtd")
            raise UnavailableError(
                "libvirt", f"libvirtd started, but doesn't answer: {self._last_words()}"
            ) from None
        _log.info("started own libvirtd", uri=self.uri, state_dir=str(self.state_dir))
        return self.uri

    async def keep(self) -> None:
        """Start libvirtd again whenever it ends, until cancelled; guests run on meanwhile."""
        while True:
            await _ended(self._pids([self.run_dir / "libvirtd.pid"], "libvirtd"))
            _log.error("own libvirtd ended, starting it again", last_words=self._last_words())
            try:
                await self.start()
            except UnavailableError as failure:
                _log.error("own libvirtd not started", why=failure.message, again_in=_AGAIN)
            # One that can't stay up isn't to be a busy loop.
            await asyncio.sleep(_AGAIN)

    async def stop(self) -> None:
        """End guests and daemons, and remove sockets and pid files. Nothing to do when none runs."""
        guests = self._pids(sorted(self.run_dir.glob("qemu/*.pid")), "qemu")
        # While libvirtd still runs, so that it tidies up after them.
        await _end(guests, grace=10.0)
        for daemon in ("libvirtd", "virtlogd"):
            await self._end(daemon)
        await asyncio.to_thread(shutil.rmtree, self.run_dir, ignore_errors=True)
        for leftover in self.state_dir.glob("lib/qemu/domain-*"):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)

    def _prepare(self) -> None:
        self.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("etc", "lib", "log", "cache"):
            (self.state_dir / name).mkdir(mode=0o711, parents=True, exist_ok=True)
        id_file = self.state_dir / "host_uuid"
        if not id_file.exists():
            id_file.write_text(str(uuid.uuid4()))
        etc = self.state_dir / "etc"
        (etc / "qemu.conf").write_text(_QEMU_CONF)
        (etc / "libvirtd.conf").write_text(_LIBVIRTD_CONF.format(host_uuid=id_file.read_text()))
        (etc / "virtlogd.conf").write_text(_VIRTLOGD_CONF)

    async def _answers(self) -> bool:
        """True when something accepts connections on the socket."""
        try:
            _, writer = await asyncio.open_unix_connection(str(self.run_dir / "libvirt-sock"))
        except OSError:
            return False
        writer.close()
        return True

    async def _end(self, daemon: str) -> None:
        await _end(self._pids([self.run_dir / f"{daemon}.pid"], daemon), grace=10.0)

    def _pids(self, files: Sequence[Path], program: str) -> list[int]:
        """Pids in the files, of those that still are the program: numbers are used again."""
        found = []
        for file in files:
            try:
                pid = int(file.read_text())
                executable = os.readlink(f"/proc/{pid}/exe")
            except (OSError, ValueError):
                continue
            if Path(executable).name.startswith(program):
                found.append(pid)
        return found

    def _last_words(self) -> str:
        try:
            lines = (self.state_dir / "log" / "libvirtd.log").read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return "; ".join(lines[-3:]) or "its log is empty"


def _require_programs() -> None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    packages = {
        "libvirtd": "libvirt-daemon-system",
        "virtlogd": "libvirt-daemon-system",
        "qemu-img": "qemu-utils",
        "unshare": "util-linux",
    }
    for program, package in packages.items():
        if shutil.which(program, path=path) is None:
            raise UnavailableError("libvirt", f"{program} is missing: apt-get install {package}")
    if os.geteuid() != 0:
        raise UnavailableError(
            "libvirt", "An own libvirtd needs root; connect to the machine's or use the fake driver."
        )


async def _end(pids: Sequence[int], grace: float) -> None:
    """Ask processes to end, wait, and kill those that don't. They needn't be children of this one."""
    loop = asyncio.get_running_loop()
    ends: list[asyncio.Future[None]] = []
    descriptors: list[tuple[int, asyncio.Future[None]]] = []
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, _settle, ended)
        signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        ends.append(ended)
        descriptors.append((descriptor, ended))
    try:
        if ends:
            await asyncio.wait(ends, timeout=grace)
            late = [pair for pair in descriptors if not pair[1].done()]
            for descriptor, _ in late:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            if late:
                await asyncio.wait([ended for _, ended in late], timeout=grace)
    finally:
        for descriptor, _ in descriptors:
            loop.remove_reader(descriptor)
            os.close(descriptor)


async def _ended(pids: Sequence[int]) -> None:
    """Wait until these processes have ended. They needn't be children of this one."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(descriptor, _settle, ended)
        try:
            await ended
        finally:
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

"""What a newcomer does with a cloud of real guests: the `openstack` client, ssh, and looks at the machine."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.cloud import Cloud

T = TypeVar("T")

# An emulated guest on a busy machine, GRUB included.
GUEST_SECONDS = 150.0
SSH_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"),
    *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=4"),
)


def eventually(what: str, probe: Callable[[], T | None], seconds: float = GUEST_SECONDS) -> T:
    """The probe's answer, once it has one other than None or False; fails by the name of `what`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer is not None and answer is not False:
            return answer
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds:.0f} s in vain for: {what}")
        time.sleep(0.2)


@dataclass
class Newcomer:
    """Somebody at a terminal of a cloud that is up, with a key pair of theirs in `key`."""

    cloud: Cloud
    key: Path

    def json(self, *command: str, cloud: str = "novamesh") -> Any:
        """What `openstack ... -f json` answers."""
        return json.loads(self.cloud.openstack(*command, "-f", "json", cloud=cloud))

    def make_key(self, name: str) -> None:
        """Make a key pair in the cloud and keep the private half."""
        self.key.write_text(self.cloud.openstack("keypair", "create", name) + "\n")
        self.key.chmod(0o600)

    def boot(self, name: str, *options: str, image: str = "tiny") -> Any:
        """`server create --wait` as README has it; what it answers."""
        return self.json(
            *("server", "create", "--image", image, "--flavor", "m1.tiny", "--key-name", "k"),
            *("--network", "private", *options, "--wait", name),
        )

    def ssh(self, address: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the guest."""
        return subprocess.run(
            self.cloud.inside("ssh", *SSH_OPTIONS, "-i", str(self.key), f"root@{address}", command),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=30,
            check=False,
        )

    def told(self, address: str, command: str) -> str:
        """What a command in the guest prints, once ssh answers."""

        def probe() -> str | None:
            done = self.ssh(address, command)
            return None if done.returncode == 255 else done.stdout.strip()

        return eventually(f"ssh root@{address} {command}\n{self.cloud.tail()}", probe)

    def uptime(self, address: str) -> float:
        """Seconds since the guest's kernel started."""
        return float(self.told(address, "cut -d' ' -f1 /proc/uptime"))

    def console(self, server: str, *texts: str) -> str:
        """The console log, once it holds all of the texts."""

        def probe() -> str | None:
            log = self.cloud.openstack("console", "log", "show", server)
            return log if all(text in log for text in texts) else None

        return eventually(f"the console of {server} to show {texts}", probe)

    def virsh(self, *command: str) -> str:
        """Ask libvirt about the guests behind the cloud's back."""
        uri = next(word for word in self.cloud.output().split() if word.startswith("qemu+unix:"))
        return self.cloud.run("virsh", "-c", uri, *command).strip()

    def guests(self, *state: str) -> list[str]:
        """libvirt's names of the guests (all of them, or those in a state)."""
        return self.virsh("list", "--name", *(state or ("--all",))).split()

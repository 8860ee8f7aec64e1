"""What this driver has changed on the host beside rules and processes, so that another process can undo it.

Written before the change is made, in the folder of the networks: /run by default,
which a reboot clears together with what it speaks of.
"""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Traces:
    """Each of these is to be put back by `tear_down`."""

    # Bridges that were not there before, by name, and their uplinks.
    bridges: dict[str, str] = field(default_factory=dict)
    # Addresses that were put on interfaces that were there: [interface, "address/prefix"].
    addresses: list[list[str]] = field(default_factory=list)
    # Values under /proc/sys, by path, as they were.
    sysctls: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> "Traces":
        """What an earlier process noted; nothing when there is no such file."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return cls()

    def save(self, path: Path) -> None:
        """Write all of it, whole or not at all."""
        write_file(path, json.dumps(asdict(self), indent=1))


def write_file(path: Path, text: str) -> None:
    """Put a file in place by rename, readable by everybody: dnsmasq reads its own as another user."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True)
        # Whatever the umask says.
        path.parent.chmod(0o755)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(text)
    fresh.chmod(0o644)
    os.replace(fresh, path)

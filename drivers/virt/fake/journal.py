"""Guests of the fake driver in a file, so that they outlive a killed process.

One JSON line a change. A line that a crash cut short is the last and is left
out. The file is written anew, without history, each time it is opened.
"""

import json
import os
from pathlib import Path

from novamesh.types.v1.instance_pb2 import PowerState


class Journal:
    """The file; `open` gives the guests in it by id."""

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._file: int | None = None

    def open(self) -> dict[str, PowerState.ValueType]:
        """Read the guests and make ready to write."""
        self.close()
        guests = self.read(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".part")
        fresh.write_bytes(b"".join(_line(guest, state) for guest, state in guests.items()))
        fresh.replace(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        return guests

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def record(self, instance_id: str, state: PowerState.ValueType | None) -> None:
        """Write that a guest is in `state` now, or is gone for None."""
        if self._file is not None:
            os.write(self._file, _line(instance_id, state))

    @staticmethod
    def read(path: str | Path) -> dict[str, PowerState.ValueType]:
        """Guests in the file at `path`, whoever has it open: how a test looks for leaked ones."""
        guests: dict[str, PowerState.ValueType] = {}
        try:
            lines = Path(path).read_bytes().splitlines()
        except FileNotFoundError:
            return guests
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["power_state"] is None:
                guests.pop(entry["id"], None)
            else:
                guests[entry["id"]] = PowerState.Value(entry["power_state"])
        return guests


def _line(instance_id: str, state: PowerState.ValueType | None) -> bytes:
    name = None if state is None else PowerState.Name(state)
    return json.dumps({"id": instance_id, "power_state": name}).encode() + b"\n"

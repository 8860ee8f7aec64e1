"""What a benchmark measures with, and how it prints."""

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Samples:
    """The seconds that each of a run's calls took, and the seconds of the whole run."""

    name: str
    seconds: list[float] = field(default_factory=list)
    elapsed: float = 0.0
    # Processor seconds that the server took for all of it; 0 where its processes aren't known.
    cpu: float = 0.0

    @property
    def rate(self) -> float:
        """Calls a second."""
        return len(self.seconds) / self.elapsed if self.elapsed else math.nan

    def percentile(self, share: float) -> float:
        """The time in seconds that `share` of the calls stayed under."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else math.nan

    def line(self, bare: float | None = None, nova: float | None = None) -> str:
        """One printed line; `bare` is this machine's rate to compare with, `nova` that of Nova elsewhere."""
        text = (
            f"{self.name:<44} {self.rate:>10,.1f}/s   p50 {self.percentile(0.5) * 1e3:>9.2f} ms"
            f"   p99 {self.percentile(0.99) * 1e3:>9.2f} ms"
        )
        if self.cpu:
            text += f"   CPU {self.cpu / len(self.seconds) * 1e3:>7.2f} ms"
        if bare is not None:
            text += f"   {self.rate / bare:>6.1%} of bare"
        return text if nova is None else f"{text}   {self.rate / nova:>6.1f} x Nova"


async def measure(
    name: str, call: Callable[[], Awaitable[object]], in_flight: int, seconds: float = 3.0, calls: int = 0
) -> Samples:
    """Call again and again, `in_flight` at a time, for some seconds or a number of calls."""
    samples = Samples(name)
    started = time.perf_counter()
    left = calls

    async def worker() -> None:
        nonlocal left
        while True:
            if calls:
                if left <= 0:
                    return
                left -= 1
            elif time.perf_counter() - started >= seconds:
                return
            before = time.perf_counter()
            await call()
            samples.seconds.append(time.perf_counter() - before)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    samples.elapsed = time.perf_counter() - started
    return samples


def pss(pids: Iterable[int]) -> float:
    """The proportional set size of processes together, in MiB. Linux only."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    """Processor time that processes have taken together. Linux only."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def process_tree(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(status.parent.name))
    tree, pending = [], [pid]
    while pending:
        current = pending.pop()
        tree.append(current)
        pending += children.get(current, [])
    return tree

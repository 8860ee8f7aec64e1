"""What GET /servers/{id} spends its processor time on: a cloud with the fake driver under py-spy.

    python -m bench.show [--seconds 10] [--version 2.96]

The shares are of the samples in which the cloud's process ran. "Recognised, allowed and checked" is what
every request pays before its handler: authentication, route, microversion, policy and schemas. A sample
counts for the first group in the table that one of its frames belongs to.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import uvloop

from bench.cloud import prepared, start, stop
from bench.compute_api import Target, session_for
from bench.figures import measure

PY_SPY = Path(sys.executable).parent / "py-spy"
RATE = 500
# Name, whether it comes before the handler, and what a frame of it contains: function and file.
GROUPS: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("authentication", True, ("_authenticate (gateway/app.py",)),
    ("policy", True, ("(gateway/policy.py",)),
    ("microversion", True, ("(gateway/microversions.py",)),
    ("query and body schemas", True, ("_check (gateway/app.py", "(gateway/schemas.py")),
    ("route", True, ("(gateway/routes.py", "check_url (gateway/requests.py")),
    ("database", False, ("(db/", "(sqlalchemy/")),
    ("conductor", False, ("(services/conductor/",)),
    ("mesh", False, ("(services/mesh/",)),
    ("view of the server", False, ("(gateway/compute/",)),
    ("rest of the gateway", False, ("(gateway/",)),
    ("aiohttp and the socket", False, ("(aiohttp/",)),
)


def group_of(stack: str) -> str:
    """The group that a sampled stack counts for."""
    for name, _, marks in GROUPS:
        if any(mark in stack for mark in marks):
            return name
    return "event loop and others"


def shares(raw: str) -> dict[str, float]:
    """The share of each group, from py-spy's raw format: frames joined by semicolons, then a count."""
    counts: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        # A frame that changed while py-spy read it may hold a line's end.
        if count.isdecimal():
            counts[group_of(stack)] += int(count)
    total = sum(counts.values())
    if not total:
        sys.exit("py-spy took no samples: it needs root, or ptrace_scope 0.")
    return {name: count / total for name, count in counts.most_common()}


async def run(arguments: argparse.Namespace) -> None:
    """Start a cloud, ask it for one server again and again, and print where the time went."""
    folder = Path(tempfile.mkdtemp(prefix="novamesh-bench-"))
    profile = folder / "profile"
    try:
        process, _ = await start(folder / "state", "--fake")
        try:
            demo, image, url = await prepared(folder / "state")
            async with session_for(demo) as session:
                session.headers["OpenStack-API-Version"] = f"compute {arguments.version}"
                target = Target(session, url, image, "1")
                server = await target.boot("profiled")
                await target.settled(server)
                await measure("", lambda: target.read(f"/servers/{server}"), 8, 1.0)
                spy = await asyncio.create_subprocess_exec(
                    *(PY_SPY, "record", "--nonblocking", "--format", "raw", "--rate", str(RATE)),
                    *(
                        "--duration",
                        str(int(arguments.seconds)),
                        "--output",
                        profile,
                        "--pid",
                        str(process.pid),
                    ),
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                seconds = arguments.seconds + 1.0
                samples = await measure(
                    "GET /servers/ID, 8 in flight", lambda: target.read(f"/servers/{server}"), 8, seconds
                )
                await spy.wait()
            sys.stdout.write(samples.line() + " (with py-spy looking)\n")
        finally:
            await stop(process)
        found = shares(profile.read_text())
        for name, share in found.items():
            sys.stdout.write(f"{name:<28} {share:>6.1%}\n")
        before = sum(found.get(name, 0.0) for name, early, _ in GROUPS if early)
        sys.stdout.write(f"recognised, allowed and checked: {before:.1%} of a show (goal: under 15 %)\n")
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="how long py-spy looks (default 10)")
    parser.add_argument("--version", default="2.96", help="microversion that is asked for (default 2.96)")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

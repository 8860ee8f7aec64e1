"""A whole cloud with the fake driver, started for the occasion: time to ready, then bench.compute_api on it.

    python -m bench.cloud [--servers 1000]

It listens where the configuration says, so end another cloud of this machine first.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
import yaml

from bench.bare import print_bare
from bench.compute_api import Nova, Target, memory, report, session_for
from bench.figures import process_tree

NOVAMESH = Path(sys.executable).parent / "novamesh"
GUEST = Path(__file__).resolve().parent.parent / ".build" / "guest"
UNLIMITED = {"instances": -1, "cores": -1, "ram": -1}


async def start(state: Path, *options: str) -> tuple[asyncio.subprocess.Process, float]:
    """Start the cloud; returns its process and the seconds until it said that it is up."""
    began = time.perf_counter()
    arguments = ("up", "--state-dir", str(state), "--guest-image", str(GUEST), *options)
    process = await asyncio.create_subprocess_exec(NOVAMESH, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    printed = b""
    while line := await process.stdout.readline():
        printed += line
        if b"The cloud is up" in line:
            return process, time.perf_counter() - began
    sys.exit(printed.decode())


async def stop(process: asyncio.subprocess.Process) -> None:
    """End the cloud."""
    process.send_signal(signal.SIGINT)
    await process.communicate()


async def token(state: Path, cloud: str) -> tuple[str, Any]:
    """A token for a cloud of the state directory's clouds.yaml, and what Identity said with it."""
    entry = yaml.safe_load((state / "clouds.yaml").read_text())["clouds"][cloud]["auth"]
    user = {"name": entry["username"], "domain": {"name": "Default"}, "password": entry["password"]}
    project = {"name": entry["project_name"], "domain": {"name": "Default"}}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{entry['auth_url']}/auth/tokens", json=body) as answer,
    ):
        answer.raise_for_status()
        return answer.headers["X-Subject-Token"], (await answer.json())["token"]


async def prepared(state: Path) -> tuple[str, str, str]:
    """Lift the quota of project demo; returns its token, an image and the Compute API's URL."""
    admin, _ = await token(state, "novamesh-admin")
    demo, said = await token(state, "novamesh")
    catalogue = {entry["type"]: entry["endpoints"][0]["url"] for entry in said["catalog"]}
    compute, image = catalogue["compute"], catalogue["image"]
    async with aiohttp.ClientSession(headers={"X-Auth-Token": admin}) as session:
        url = f"{compute}/os-quota-sets/{said['project']['id']}"
        async with session.put(url, json={"quota_set": UNLIMITED}) as answer:
            answer.raise_for_status()
        async with session.get(f"{image}/v2/images?name=tiny") as answer:
            answer.raise_for_status()
            found = (await answer.json())["images"][0]["id"]
    return demo, found, compute


async def run(arguments: argparse.Namespace) -> None:
    """Start twice, since the first start makes schema, keys and images; then measure."""
    bare = await print_bare()
    folder = Path(tempfile.mkdtemp(prefix="novamesh-bench-"))
    try:
        process, first = await start(folder, "--fake")
        await stop(process)
        process, again = await start(folder, "--fake")
        times = f"{first:.2f} s the first time, {again:.2f} s with that state in place"
        print(f"from start to ready: {times}, {Nova.READY / again:.1f} x as fast as Nova")
        try:
            pids = process_tree(process.pid)
            sys.stdout.write(memory("idle", pids))
            demo, image, url = await prepared(folder)
            async with session_for(demo) as session:
                target = Target(session, url, image, "1")
                await report(target, arguments.servers, pids, bare, arguments.seconds)
        finally:
            await stop(process)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--servers", type=int, default=1000, help="servers in the list (default 1000)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long each read is repeated (default 5)"
    )
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""What the mesh adds to the boot of a real guest: POST to ACTIVE, less libvirt's own define and create.

    sudo .venv/bin/python -m bench.boot [--boots 10]

Needs root and what `make run` needs. It starts a cloud where the configuration says, so end another cloud of
this machine first, or give it a network of its own:

    sudo unshare --net --mount sh -c 'ip link set lo up; .venv/bin/python -m bench.boot'

The guests are on the network `private`; the image is in the cache. ACTIVE is seen by asking every 5 ms, so
what is printed is a little more than what the mesh takes.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import uvloop
from prometheus_client.parser import text_string_to_metric_families

from bench.bare import print_bare
from bench.cloud import prepared, start, stop
from bench.compute_api import Target, session_for

METRICS = "http://127.0.0.1:8799/metrics"
CALL = "novamesh_mesh_call_seconds//novamesh."
# Seconds that libvirt takes by itself.
LIBVIRT = ("novamesh_libvirt_seconds/define", "novamesh_libvirt_seconds/create")
PARTS = {
    "placing: the scheduler": CALL + "scheduler.v1.DestinationService/SelectDestinations",
    "plugging the network": CALL + "network.v1.InterfaceService/PlugInterfaces",
    "the host's whole build": CALL + "compute.v1.LifecycleService/BuildInstance",
    "libvirt: define": LIBVIRT[0],
    "libvirt: create": LIBVIRT[1],
}


async def spent(session: aiohttp.ClientSession) -> dict[str, float]:
    """Seconds so far by histogram and label."""
    async with session.get(METRICS) as answer:
        text = await answer.text()
    return {
        f"{family.name}/{next(iter(sample.labels.values()), '')}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == family.name + "_sum"
    }


async def boot(target: Target, name: str) -> float:
    """Seconds from POST to ACTIVE; the guest is deleted afterwards."""
    began = time.perf_counter()
    server = await target.boot(name)
    while (status := (await target.get(f"/servers/{server}"))["server"]["status"]) == "BUILD":
        await asyncio.sleep(0.005)
    taken = time.perf_counter() - began
    if status != "ACTIVE":
        sys.exit(f"{name} is in {status}: {await target.get(f'/servers/{server}')}")
    await target.delete(server)
    while server in await target.ids():
        await asyncio.sleep(0.05)
    return taken


def show(name: str, seconds: list[float]) -> None:
    """One figure."""
    print(f"{name:<44} p50 {statistics.median(seconds) * 1e3:>8.1f} ms   most {max(seconds) * 1e3:>8.1f} ms")


async def run(count: int) -> None:
    """Boot one after another and print where the time went."""
    bare = await print_bare()
    folder = Path(tempfile.mkdtemp(prefix="novamesh-bench-"))
    try:
        process, _ = await start(folder)
        try:
            demo, image, url = await prepared(folder)
            async with session_for(demo) as session, aiohttp.ClientSession() as plain:
                target = Target(session, url, image, "1", await private(session, url))
                first = await boot(target, "first")
                print(f"the first, which fills the image cache: {first * 1e3:.1f} ms")
                await measure(target, plain, count, bare.commits)
        finally:
            await stop(process)
    finally:
        shutil.rmtree(folder)


async def private(session: aiohttp.ClientSession, url: str) -> list[Mapping[str, str]]:
    """What POST /servers wants for the network `private`."""
    # os-networks ends with microversion 2.35.
    async with session.get(url + "/os-networks", headers={"OpenStack-API-Version": "compute 2.1"}) as answer:
        answer.raise_for_status()
        networks = (await answer.json())["networks"]
    return [{"uuid": network["id"]} for network in networks if network["label"] == "private"]


async def measure(target: Target, session: aiohttp.ClientSession, count: int, commits: float) -> None:
    """The figures."""
    whole: list[float] = []
    over: list[float] = []
    parts: dict[str, list[float]] = {name: [] for name in PARTS}
    for number in range(count):
        before = await spent(session)
        taken = await boot(target, f"boot-{number}")
        after = await spent(session)
        went = {key: value - before.get(key, 0.0) for key, value in after.items()}
        whole.append(taken)
        over.append(taken - sum(went[key] for key in LIBVIRT))
        for name, key in PARTS.items():
            parts[name].append(went[key])
    show("POST to ACTIVE", whole)
    for name, seconds in parts.items():
        show("  " + name, seconds)
    show("the mesh: all but libvirt's define and create", over)
    print(
        f"that is {statistics.median(over) * commits:.0f} bare commits; the goal is 250 ms on an idle machine"
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boots", type=int, default=10, help="guests to boot, one after another")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("guests and their network need root")
    uvloop.run(run(arguments.boots))


if __name__ == "__main__":
    main()

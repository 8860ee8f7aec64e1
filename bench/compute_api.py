"""Put load on any server of the Compute API, Nova's or ours, and report what it gives.

    python -m bench.compute_api --url http://127.0.0.1:8774/v2.1 --token T --image ID --flavor ID

With --pid PID the memory of that process and all below it is reported too.
Reports reads one at a time and eight in flight, the list with details of 1,000
servers, one boot, boots with eight in flight, 200 at once, deletes, and (with
--pid) the processor time that each call cost the server and the memory of its
processes before and after. The project that the token is for needs quota for
the servers. Point it only at a server of your own.

"x Nova" compares with Nova 34.0.0 and its fake driver, without Keystone and
Neutron, on another quiet machine of this kind: orientation, not a measurement.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import uvloop

from bench.bare import Bare, print_bare
from bench.figures import Samples, cpu_seconds, measure, process_tree, pss

NETWORKLESS_SINCE = "2.37"


class Nova:
    """Nova 34.0.0's figures: rates a second, MiB and seconds. See above for where they were taken."""

    GET_1 = 24.0
    GET_8 = 48.0
    DETAIL_1000 = 1 / 3.8
    BOOT_1 = 1 / 0.7
    BOOT_8 = 2.5
    BURST_200 = 1.0
    DELETE = 5.6
    MEMORY = 1066.0
    READY = 24.0


@dataclass
class Target:
    """A server of the Compute API, and what to boot on it."""

    session: aiohttp.ClientSession
    url: str
    image: str
    flavor: str
    networks: object = "none"

    async def get(self, path: str) -> Any:
        """A GET that has to succeed."""
        async with self.session.get(self.url + path) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def read(self, path: str) -> None:
        """A GET whose body is read and not looked at, so that the client's own cost stays small."""
        async with self.session.get(self.url + path) as answer:
            answer.raise_for_status()
            await answer.read()

    async def boot(self, name: str, count: int = 1) -> str:
        """POST /servers; returns the first one's id."""
        body = {
            "name": name,
            "imageRef": self.image,
            "flavorRef": self.flavor,
            "networks": self.networks,
            "min_count": count,
            "max_count": count,
        }
        async with self.session.post(self.url + "/servers", json={"server": body}) as answer:
            if answer.status != 202:
                raise RuntimeError(f"POST /servers: {answer.status} {await answer.text()}")
            return str((await answer.json())["server"]["id"])

    async def delete(self, server: str) -> None:
        """DELETE, which may find nothing."""
        async with self.session.delete(f"{self.url}/servers/{server}") as answer:
            if answer.status not in (204, 404):
                raise RuntimeError(f"DELETE: {answer.status} {await answer.text()}")

    async def settled(self, server: str) -> None:
        """Wait until one server has left BUILD."""
        while (await self.get(f"/servers/{server}"))["server"]["status"] == "BUILD":
            await asyncio.sleep(0.002)

    async def all_built(self, pause: float = 0.05) -> None:
        """Wait until none is in BUILD."""
        while (await self.get("/servers?status=BUILD&limit=1"))["servers"]:
            await asyncio.sleep(pause)

    async def ids(self) -> list[str]:
        """Every server of the project."""
        found: list[str] = []
        while True:
            marker = f"&marker={found[-1]}" if found else ""
            page = (await self.get(f"/servers?limit=1000{marker}"))["servers"]
            found += [server["id"] for server in page]
            if len(page) < 1000:
                return found

    async def failed(self) -> int:
        """How many are in ERROR."""
        return len((await self.get("/servers?status=ERROR"))["servers"])


async def delete_all(target: Target, in_flight: int = 8) -> Samples:
    """Delete every server; the time ends when the last one is gone."""
    left = await target.ids()
    samples = Samples("DELETE until gone")
    start = time.perf_counter()

    async def worker() -> None:
        while left:
            before = time.perf_counter()
            await target.delete(left.pop())
            samples.seconds.append(time.perf_counter() - before)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    while (await target.get("/servers?limit=1"))["servers"]:
        await asyncio.sleep(0.02)
    samples.elapsed = time.perf_counter() - start
    return samples


async def boots(target: Target, count: int, in_flight: int) -> Samples:
    """Boot, each watched until it is ACTIVE."""
    serial = iter(range(count))

    async def boot() -> None:
        await target.settled(await target.boot(f"boot-{next(serial)}"))

    return await measure(f"boot to ACTIVE, {in_flight} in flight", boot, in_flight, calls=count)


async def burst(target: Target, count: int) -> Samples:
    """Boot many at once; the time ends when none is in BUILD."""
    samples = Samples(f"{count} boots at once, ACTIVE")
    start = time.perf_counter()

    async def boot(number: int) -> None:
        before = time.perf_counter()
        await target.boot(f"burst-{number}")
        samples.seconds.append(time.perf_counter() - before)

    await asyncio.gather(*(boot(n) for n in range(count)))
    posted = time.perf_counter() - start
    await target.all_built()
    samples.elapsed = time.perf_counter() - start
    samples.name += f" (posted in {posted:.2f} s)"
    return samples


def memory(when: str, pids: Sequence[int]) -> str:
    """A line on the memory of the server's processes."""
    used = pss(pids)
    there = len(pids)
    return f"memory {when}: {used:.0f} MiB PSS in {there} process(es), 1/{Nova.MEMORY / used:.1f} of Nova's\n"


async def report(target: Target, servers: int, pids: Sequence[int], bare: Bare, seconds: float) -> None:
    """Run everything and print a line for each figure."""

    async def say(work: Awaitable[Samples], rate: float, nova: float | None = None) -> None:
        before = cpu_seconds(pids)
        samples = await work
        samples.cpu = cpu_seconds(pids) - before
        sys.stdout.write(samples.line(rate, nova) + "\n")
        sys.stdout.flush()

    if pids:
        sys.stdout.write(memory("before", pids))
    await delete_all(target)
    await boots(target, 3, 1)
    await say(boots(target, 10, 1), bare.commits, Nova.BOOT_1)
    await say(boots(target, 60, 8), bare.commits, Nova.BOOT_8)
    await say(burst(target, 200), bare.commits, Nova.BURST_200)
    await say(delete_all(target), bare.commits, Nova.DELETE)
    serial = iter(range(servers))

    async def boot_next() -> None:
        await target.boot(f"many-{next(serial)}")

    await say(measure("POST /servers, 8 in flight", boot_next, 8, calls=servers), bare.http_8.rate)
    await target.all_built(0.2)
    if failed := await target.failed():
        sys.stdout.write(f"{failed} servers are in ERROR\n")
    one = (await target.ids())[0]
    for in_flight, rate, nova in ((1, bare.http_1.rate, Nova.GET_1), (8, bare.http_8.rate, Nova.GET_8)):
        name = f"GET /servers/ID, {in_flight} in flight"
        read = measure(name, lambda: target.read(f"/servers/{one}"), in_flight, seconds)
        await say(read, rate, nova)
    path = f"/servers/detail?limit={servers}"
    nova_list = Nova.DETAIL_1000 if servers == 1000 else None
    await say(measure(f"GET {path}", lambda: target.read(path), 1, seconds), bare.http_1.rate, nova_list)
    await say(delete_all(target), bare.commits, Nova.DELETE)
    if pids:
        sys.stdout.write(memory("after", pids))


def session_for(token: str) -> aiohttp.ClientSession:
    """A client session that shows the token and asks for a microversion that knows `networks: none`."""
    return aiohttp.ClientSession(
        headers={
            "X-Auth-Token": token,
            "OpenStack-API-Version": f"compute {NETWORKLESS_SINCE}",
            "Accept": "application/json",
        },
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=600),
    )


async def run(arguments: argparse.Namespace) -> None:
    """Measure the machine, then the server."""
    bare = await print_bare()
    async with session_for(arguments.token) as session:
        target = Target(session, arguments.url.rstrip("/"), arguments.image, arguments.flavor)
        pids = process_tree(arguments.pid) if arguments.pid else []
        await report(target, arguments.servers, pids, bare, arguments.seconds)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", required=True, help="for example http://127.0.0.1:8774/v2.1")
    parser.add_argument("--token", required=True, help="of a project that has quota for the servers")
    parser.add_argument("--image", required=True, help="image to boot")
    parser.add_argument("--flavor", required=True, help="flavor to boot")
    parser.add_argument("--servers", type=int, default=1000, help="servers in the list (default 1000)")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long each read is repeated (default 5)"
    )
    parser.add_argument("--pid", type=int, help="the server's top process, for its memory")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()

"""What this machine gives without novamesh: the measure that the other benchmarks' figures are fractions of.

python -m bench.bare
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Process, Queue, get_context
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import uvloop
from aiohttp import web

from bench.figures import Samples, measure


def serve_http(ports: "Queue[int]") -> None:
    """An aiohttp server that answers one small JSON document."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(
            body=b'{"server": {"id": "x", "status": "ACTIVE"}}', content_type="application/json"
        )

    async def run() -> None:
        application = web.Application()
        application.router.add_get("/servers/{id}", answer)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.put(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(run())


def serve_grpc(ports: "Queue[int]") -> None:
    """A grpc.aio server that answers with what it was sent, over plain TCP."""

    async def echo(request: bytes, _: object) -> bytes:
        return request

    async def run() -> None:
        server = grpc.aio.server()
        handler: Any = grpc.unary_unary_rpc_method_handler(echo)
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("bare.Echo", {"Echo": handler}),)
        )
        ports.put(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        await server.wait_for_termination()

    uvloop.run(run())


def started(target: Callable[["Queue[int]"], None]) -> tuple[Process, int]:
    """Run a server in a process of its own; returns it and its port."""
    context = get_context("spawn")
    ports: Queue[int] = context.Queue()
    process = context.Process(target=target, args=(ports,), daemon=True)
    process.start()
    return process, ports.get(timeout=30)  # type: ignore[return-value]


def commits(seconds: float = 1.0) -> float:
    """Commits a second of one small row to an SQLite file with WAL and full durability."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.sqlite", isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            connection.execute("INSERT INTO t (v) VALUES ('x')")
            count += 1
        rate = count / (time.perf_counter() - start)
        connection.close()
    return rate


@dataclass
class Bare:
    """This machine's rates a second."""

    http_1: Samples
    http_8: Samples
    grpc_1: Samples
    grpc_32: Samples
    commits: float

    def lines(self) -> list[str]:
        """For printing."""
        rates = [s.line() for s in (self.http_1, self.http_8, self.grpc_1, self.grpc_32)]
        return [*rates, f"{'bare SQLite commits (WAL, synchronous=FULL)':<44} {self.commits:>10,.1f}/s"]


async def measure_bare(seconds: float = 2.0) -> Bare:
    """Measure the machine; each server runs in a process of its own, as the cloud does."""
    process, port = started(serve_http)
    try:
        async with aiohttp.ClientSession() as session:

            async def get() -> None:
                async with session.get(f"http://127.0.0.1:{port}/servers/x") as answer:
                    await answer.read()

            await measure("warm-up", get, 1, 0.3)
            http_1 = await measure("bare aiohttp GET, 1 in flight", get, 1, seconds)
            http_8 = await measure("bare aiohttp GET, 8 in flight", get, 8, seconds)
    finally:
        process.terminate()
    process, port = started(serve_grpc)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/bare.Echo/Echo")

            async def echo() -> None:
                await call(b"0123456789" * 10)

            await measure("warm-up", echo, 1, 0.3)
            grpc_1 = await measure("bare grpc.aio echo, 1 in flight", echo, 1, seconds)
            grpc_32 = await measure("bare grpc.aio echo, 32 in flight", echo, 32, seconds)
    finally:
        process.terminate()
    return Bare(http_1, http_8, grpc_1, grpc_32, commits())


async def print_bare(seconds: float = 1.0) -> Bare:
    """Measure the machine and print its figures, at the head of what a benchmark prints."""
    bare = await measure_bare(seconds)
    sys.stdout.write("\n".join(bare.lines()) + "\n")
    sys.stdout.flush()
    return bare


def main() -> None:
    """Print the machine's figures."""
    uvloop.run(print_bare(2.0))


if __name__ == "__main__":
    main()

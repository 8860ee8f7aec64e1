"""What the mesh costs: unary echo in memory and over mutual TLS, beside bare grpc.aio in the same run.

    python -m bench.mesh [--calls 5000]

Bare is an insecure grpc.aio server and channel without any of ours; all in one
process and on one event loop, so client and server share a core in every row.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import uvloop

from bench.bare import print_bare
from novamesh.mesh.v1 import probe_service_pb2 as probe
from novamesh.mesh.v1.probe_service_pb2_grpc import ProbeServiceStub
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import calling_as
from services.mesh.logs import set_up_logging
from services.mesh.testing import ServiceRole, local_node

Echo = Callable[[], Awaitable[object]]


async def _rate(echo: Echo, calls: int, in_flight: int) -> float:
    """Calls a second with so many in flight."""

    async def worker(count: int) -> None:
        for _ in range(count):
            await echo()

    await worker(min(200, calls))
    began = time.perf_counter()
    await asyncio.gather(*(worker(calls // in_flight) for _ in range(in_flight)))
    return calls // in_flight * in_flight / (time.perf_counter() - began)


async def _both(echo: Echo, calls: int) -> tuple[float, float]:
    return await _rate(echo, calls, 1), await _rate(echo, calls, 32)


async def _bare(request: probe.EchoRequest, calls: int) -> tuple[float, float]:
    async def answer(request: probe.EchoRequest, context: object) -> probe.EchoResponse:
        return probe.EchoResponse(payload=request.payload)

    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        answer, probe.EchoRequest.FromString, probe.EchoResponse.SerializeToString
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("novamesh.mesh.v1.ProbeService", {"Echo": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = ProbeServiceStub(channel)
        rates = await _both(lambda: stub.Echo(request), calls)
    await server.stop(0)
    return rates


async def _mesh(request: probe.EchoRequest, calls: int, *, wire: bool) -> tuple[float, float]:
    async with local_node(ServiceRole("conductor", []), wire=wire) as node:
        stub = ProbeServiceStub(node.channel("conductor"))
        with calling_as(RequestContext(request_id="req-bench", project_id="p" * 32, user_id="u" * 32)):
            return await _both(lambda: stub.Echo(request), calls)


async def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--calls", type=int, default=5000, help="calls of each measurement")
    arguments = parser.parse_args()
    set_up_logging(level="warning")
    await print_bare()
    request = probe.EchoRequest(payload=b"x" * 100)
    bare = await _bare(request, arguments.calls)
    rows = [
        ("bare grpc.aio, no TLS", bare),
        ("mesh over mutual TLS", await _mesh(request, arguments.calls, wire=True)),
        ("mesh in memory", await _mesh(request, arguments.calls * 4, wire=False)),
    ]
    print(f"{'unary echo, 100 bytes':24}{'1 in flight':>24}{'32 in flight':>24}")
    for name, rates in rows:
        cells = [
            f"{rate:>9,.0f}/s {1e6 / rate:>6.0f} us {rate / base:>5.2f}x"
            for rate, base in zip(rates, bare, strict=True)
        ]
        print(f"{name:24}{cells[0]:>26}{cells[1]:>26}")


if __name__ == "__main__":
    uvloop.run(main())

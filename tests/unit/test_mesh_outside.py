"""What people and programs outside the mesh see: the client library, grpcurl, metrics, logs."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import grpc.aio
import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from novamesh.client import connect, connect_async, failure_in
from novamesh.failures import InvalidArgumentError
from novamesh.mesh.v1 import probe_service_pb2 as probe
from novamesh.mesh.v1.probe_service_pb2_grpc import ProbeServiceStub
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.cert import provision
from services.mesh import Node, NodeOptions, calling_as
from services.mesh.logs import set_up_logging
from services.mesh.metrics_listener import MetricsListener
from services.mesh.testing import ServiceRole

CLUSTER = "outside"
GRPCURL = Path(sys.executable).parent / "grpcurl"


class Served:
    """A conductor, and the folder that an operator has."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.address = address


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    certificates = provision(tmp_path, CLUSTER, "host1", ["conductor", "gateway"])
    node = Node(certificates["conductor"], {}, options=NodeOptions(grace=0.0))
    address = await node.add(ServiceRole("conductor", []), "127.0.0.1:0")
    await node.start()
    yield Served(tmp_path, address)
    await node.stop()


async def test_the_client_library(served: Served) -> None:
    async with connect_async(served.address, "conductor", served.folder) as channel:
        stub = ProbeServiceStub(channel)
        answer = await stub.Echo(probe.EchoRequest(payload=b"x"), timeout=5)
        assert answer.caller == "spiffe://outside/admin/host1"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.Count(probe.CountRequest(upto=-1)):
                pass
    assert isinstance(failure_in(caught.value), InvalidArgumentError)


async def test_the_client_library_without_asyncio(served: Served) -> None:
    def work() -> probe.EchoResponse:
        with connect(served.address, "conductor", str(served.folder), "gateway") as channel:
            return ProbeServiceStub(channel).Echo(probe.EchoRequest(), timeout=5)

    assert (await asyncio.to_thread(work)).caller == "spiffe://outside/gateway/host1"


async def test_the_client_library_checks_the_role(served: Served) -> None:
    async with connect_async(served.address, "identity", served.folder) as channel:
        with pytest.raises(grpc.aio.AioRpcError, match="Hostname Verification") as caught:
            await ProbeServiceStub(channel).Echo(probe.EchoRequest(), timeout=5)
    assert failure_in(caught.value) is None


async def grpcurl(served: Served, *arguments: str, name: str = "admin") -> tuple[int, str]:
    """grpcurl's exit status and what it printed."""
    assert GRPCURL.exists(), "grpcurl is missing: pip install 'novamesh[client]'"
    process = await asyncio.create_subprocess_exec(
        str(GRPCURL),
        "-cacert",
        str(served.folder / "ca.pem"),
        "-cert",
        str(served.folder / f"{name}.pem"),
        "-key",
        str(served.folder / f"{name}-key.pem"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode is not None
    return process.returncode, out.decode()


@pytest.mark.client
async def test_grpcurl_lists_describes_and_calls(served: Served) -> None:
    status, out = await grpcurl(served, served.address, "list")
    assert (status, out.split()) == (
        0,
        [
            "grpc.channelz.v1.Channelz",
            "grpc.health.v1.Health",
            "grpc.reflection.v1alpha.ServerReflection",
            "novamesh.mesh.v1.ProbeService",
        ],
    )
    status, out = await grpcurl(served, served.address, "describe", "novamesh.mesh.v1.ProbeService")
    assert status == 0
    assert "rpc Echo" in out
    status, out = await grpcurl(
        served, "-d", '{"upto": 3}', served.address, "novamesh.mesh.v1.ProbeService/Count"
    )
    assert [json.loads(part)["number"] for part in out.replace("}\n{", "}\0{").split("\0")] == [1, 2, 3]
    # As on another machine, where the server goes by the mesh's own name.
    name = f"conductor.{CLUSTER}.mesh"
    status, out = await grpcurl(served, "-servername", name, served.address, "grpc.health.v1.Health/Check")
    assert json.loads(out) == {"status": "SERVING"}
    status, out = await grpcurl(served, served.address, "grpc.channelz.v1.Channelz/GetServers")
    assert status == 0
    assert "server" in json.loads(out)


@pytest.mark.client
async def test_grpcurl_is_told_why(served: Served) -> None:
    status, out = await grpcurl(
        served, "-d", '{"upto": -1}', served.address, "novamesh.mesh.v1.ProbeService/Count"
    )
    assert status != 0
    assert "InvalidArgument" in out
    assert "upto must be between" in out
    # Reflection is for operators.
    status, out = await grpcurl(served, served.address, "list", name="gateway")
    assert status != 0
    assert "gateway may not call ServerReflectionInfo" in out


async def test_metrics_count_calls_by_outcome(served: Served) -> None:
    async with connect_async(served.address, "conductor", served.folder) as channel:
        await ProbeServiceStub(channel).Echo(probe.EchoRequest(), timeout=5)
    listener = MetricsListener("127.0.0.1:0")
    address = await listener.start()
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{address}/metrics") as answer:
            text = await answer.text()
    finally:
        await listener.stop()
    line = (
        'novamesh_mesh_calls_total{caller="admin",method="/novamesh.mesh.v1.ProbeService/Echo",outcome="OK"}'
    )
    assert line in text
    assert 'novamesh_mesh_certificate_end_timestamp_seconds{host="host1",role="conductor"}' in text


@pytest.fixture
def log_stream() -> Iterator[io.StringIO]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    yield io.StringIO()
    structlog.reset_defaults()
    logging.getLogger().handlers[:], logging.getLogger().level = handlers, level


def test_logs_name_the_request_and_hide_secrets(log_stream: io.StringIO) -> None:
    set_up_logging("info", "json", log_stream)
    log = structlog.get_logger("novamesh.test")
    with calling_as(RequestContext(request_id="req-5")):
        log.info("user made", name="joe", password="hunter2", given={"admin_pass": "x", "size": 1})
    log.debug("not at this level")
    logging.getLogger("library").warning("something %s", "odd")
    first, second = (json.loads(line) for line in log_stream.getvalue().splitlines())
    assert first.pop("timestamp")
    assert first == {
        "event": "user made",
        "level": "info",
        "logger": "novamesh.test",
        "name": "joe",
        "password": "***",
        "given": {"admin_pass": "***", "size": 1},
        "request_id": "req-5",
    }
    assert (second["event"], second["logger"], second["level"]) == ("something odd", "library", "warning")


def test_logs_for_people(log_stream: io.StringIO) -> None:
    set_up_logging("debug", "console", log_stream)
    structlog.get_logger("novamesh.test").warning("disk is nearly full", token="t0k3n")
    assert "disk is nearly full" in log_stream.getvalue()
    assert "t0k3n" not in log_stream.getvalue()
    with pytest.raises(ValueError, match="none of debug, info"):
        set_up_logging("loud")


async def test_malformed_requests_leave_no_token_in_the_log(log_stream: io.StringIO) -> None:
    set_up_logging("info", "console", log_stream)
    server = TestServer(web.Application())
    async with server:
        for line in (b"X-Auth-Token: t0k3n\0", b"X-Auth-Token : t0k3n", b"X-Auth-Token: t0k3n" + b"x" * 9000):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")
            assert b" 400 " in await reader.readline()
            writer.close()
    assert log_stream.getvalue().count("malformed request (") == 3
    assert "t0k3n" not in log_stream.getvalue()


def test_tracebacks_show_no_local_variables(log_stream: io.StringIO) -> None:
    set_up_logging("info", "console", log_stream)

    def fail(password: str) -> None:
        raise ValueError(f"of {len(password)} letters")

    try:
        fail("hunter2")
    except ValueError:
        structlog.get_logger("novamesh.test").exception("it failed")
        logging.getLogger("library").exception("it failed there")
    assert log_stream.getvalue().count("of 7 letters") == 2
    assert "hunter2" not in log_stream.getvalue().replace('fail("hunter2")', "")

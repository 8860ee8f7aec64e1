"""What a node does with roles that start, fail and stop, and with traces."""

from collections.abc import AsyncIterator, Sequence

import pytest
from grpc_health.v1 import health_pb2
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from novamesh.failures import NotFoundError, UnavailableError
from novamesh.mesh.v1 import probe_service_pb2 as probe
from novamesh.mesh.v1.probe_service_pb2_grpc import ProbeServiceStub
from services.mesh import Binding, Call, Node, NodeOptions, Peer
from services.mesh.chain import Chain, methods_of
from services.mesh.channel_options import is_idempotent, service_config, trimmed
from services.mesh.context import SCOPE, Scope
from services.mesh.standard import HealthServicer
from services.mesh.testing import LocalNode, ServiceRole, local_node

_HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Diary:
    """A role that writes down what happens to it."""

    name = "conductor"

    def __init__(self, events: list[str], fault: Exception | None = None) -> None:
        self._events = events
        self._fault = fault

    def bindings(self) -> Sequence[Binding]:
        return []

    async def start(self) -> None:
        self._events.append("start")
        if self._fault is not None:
            raise self._fault

    async def stop(self) -> None:
        self._events.append("stop")


async def test_roles_start_and_stop() -> None:
    events: list[str] = []
    async with local_node(Diary(events)) as mesh:
        assert events == ["start"]
        await ProbeServiceStub(mesh.channel("conductor")).Echo(probe.EchoRequest())
    assert events == ["start", "stop"]


@pytest.mark.parametrize("wire", [False, True])
async def test_a_role_that_can_not_start_is_not_served(wire: bool) -> None:
    events: list[str] = []
    async with local_node(wire=wire) as mesh:
        conductor = await mesh.peer("conductor")
        with pytest.raises(OSError, match="no database"):
            await conductor.add(Diary(events, OSError("no database")))
        with pytest.raises(UnavailableError):
            await ProbeServiceStub(mesh.channel("conductor")).Echo(probe.EchoRequest(), timeout=0.2)
    # What never started is not stopped.
    assert events == ["start"]


async def test_roles_added_before_the_start_wait_for_it() -> None:
    events: list[str] = []
    async with local_node() as mesh:
        certificate = mesh.authority.issue((await mesh.peer("conductor")).identity)
        node = Node(certificate, mesh.book, mesh.neighbours)
        address = await node.add(Diary(events), "127.0.0.1:0")
        assert not address.endswith(":0")
        assert events == []
        await node.start()
        assert events == ["start"]
        await node.stop()


@pytest.fixture(params=["memory", "wire"])
async def traced(request: pytest.FixtureRequest) -> AsyncIterator[tuple[LocalNode, InMemorySpanExporter]]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    options = NodeOptions(tracer=provider.get_tracer("novamesh"), grace=0.0)
    async with local_node(wire=request.param == "wire", options=options) as mesh:
        yield mesh, exporter


async def test_a_trace_runs_through_all_roles(traced: tuple[LocalNode, InMemorySpanExporter]) -> None:
    mesh, exporter = traced
    conductor = await mesh.peer("conductor")

    class Outer:
        async def Check(
            self, request: health_pb2.HealthCheckRequest, call: Call
        ) -> health_pb2.HealthCheckResponse:
            await ProbeServiceStub(conductor.channel("compute")).Echo(probe.EchoRequest())
            async for _ in ProbeServiceStub(conductor.channel("compute")).Count(probe.CountRequest(upto=1)):
                pass
            return health_pb2.HealthCheckResponse()

    await mesh.serve(ServiceRole("compute", []))
    service = health_pb2.DESCRIPTOR.services_by_name["Health"]
    chain = Chain(mesh.policy, mesh.options.tracer)
    check = methods_of([Binding(service, Outer())], chain)["/grpc.health.v1.Health/Check"]
    call = Call(mesh.identity, method=check.name)
    await check.answer(health_pb2.HealthCheckRequest(), call, _HEADER)

    spans = {span.name.rsplit("/")[-1]: span for span in exporter.get_finished_spans()}
    assert spans.keys() == {"Check", "Echo", "Count"}
    outer = spans["Check"]
    assert outer.parent is not None and f"{outer.parent.span_id:016x}" == "b7ad6b7169203331"
    for inner in (spans["Echo"], spans["Count"]):
        assert inner.parent is not None and inner.parent.span_id == outer.context.span_id
        assert inner.attributes is not None
        assert inner.attributes["novamesh.caller"] == "spiffe://testcloud/conductor/host1"


@pytest.mark.parametrize("wire", [False, True])
async def test_a_role_without_a_tracer_passes_the_trace_on(
    wire: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Inner:
        def __init__(self, identity: Peer) -> None:
            """Stands in the place of the standard probe."""

        async def Echo(self, request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
            seen.append(SCOPE.get().traceparent)
            return probe.EchoResponse()

    monkeypatch.setattr("services.mesh.standard.ProbeServicer", Inner)
    async with local_node(ServiceRole("conductor", []), wire=wire) as mesh:
        token = SCOPE.set(Scope(traceparent=_HEADER))
        await ProbeServiceStub(mesh.channel("conductor")).Echo(probe.EchoRequest())
        SCOPE.reset(token)
    assert seen == [_HEADER]


@pytest.mark.parametrize("wire", [False, True])
async def test_open_streams_end_with_the_role(wire: bool) -> None:
    async with local_node(wire=wire) as mesh:
        conductor = await mesh.peer("conductor")
        await conductor.add(ServiceRole("conductor", []))
        relay = ProbeServiceStub(mesh.channel("conductor")).Relay()
        await relay.write(probe.RelayRequest(payload=b"x"))
        await relay.read()
        await conductor.stop()
        with pytest.raises(UnavailableError):
            await relay.read()


async def test_health_follows_the_roles() -> None:
    health = HealthServicer()
    call = Call(Peer("c", "gateway", "h"))
    watch = health.Watch(health_pb2.HealthCheckRequest(service="a.B"), call)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    health.set(["a.B"], serving=True)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.SERVING
    health.set(["a.B"], serving=False)
    assert (await anext(watch)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    listed = await health.List(health_pb2.HealthListRequest(), call)
    assert set(listed.statuses) == {"", "a.B"}
    with pytest.raises(NotFoundError):
        await health.Check(health_pb2.HealthCheckRequest(service="x.Y"), call)


def test_only_what_changes_nothing_is_retried() -> None:
    assert is_idempotent("/novamesh.conductor.v1.InstanceService/GetInstance")
    assert is_idempotent("/novamesh.conductor.v1.HostService/WatchHosts")
    # Declared in the contract.
    assert is_idempotent("/novamesh.mesh.v1.ProbeService/Echo")
    assert not is_idempotent("/novamesh.mesh.v1.ProbeService/Relay")
    assert not is_idempotent("/novamesh.conductor.v1.InstanceService/CreateInstances")
    assert not is_idempotent("/nobody.knows.This/Thing")
    config = service_config(["/a.B/GetThing", "/a.B/PutThing"])
    assert '{"service": "a.B", "method": "GetThing"}' in config
    assert "PutThing" not in config


@pytest.mark.parametrize(("left", "inner"), [(30.0, 29.75), (2.0, 1.9), (0.1, 0.095), (0.01, 0.005)])
def test_inner_timeouts_are_shorter(left: float, inner: float) -> None:
    assert trimmed(left) == pytest.approx(inner)

"""Calls behave alike in memory and over mutual TLS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

import grpc.aio
import pytest

from novamesh.errors.v1 import errors_pb2 as errors
from novamesh.failures import (
    FAILURES,
    DeadlineExceededError,
    Failure,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    StateConflictError,
    UnavailableError,
)
from novamesh.mesh.v1 import probe_service_pb2 as probe
from novamesh.mesh.v1.probe_service_pb2_grpc import ProbeServiceStub
from novamesh.types.v1.instance_pb2 import VmState
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import Binding, Call, calling_as, current_context
from services.mesh.context import SCOPE
from services.mesh.testing import LocalNode, ServiceRole, local_node

Echo = Callable[[probe.EchoRequest, Call], Awaitable[probe.EchoResponse]]


class Probe:
    """A servicer whose Echo is told what to do by the test."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.act: Echo = self.plain
        self.cancelled = asyncio.Event()
        self.begun = asyncio.Event()

    async def plain(self, request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        return probe.EchoResponse(payload=request.payload, request_id=call.context.request_id)

    async def Echo(self, request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        self.calls.append(call)
        return await self.act(request, call)

    async def Count(self, request: probe.CountRequest, call: Call) -> AsyncIterator[probe.CountResponse]:
        self.calls.append(call)
        self.begun.set()
        try:
            for number in range(request.upto):
                yield probe.CountResponse(number=number)
            if request.upto > 2:
                await asyncio.Event().wait()
            raise NotFoundError("number", "3")
        finally:
            self.cancelled.set()

    async def Sum(self, requests: AsyncIterator[probe.SumRequest], call: Call) -> probe.SumResponse:
        self.begun.set()
        total = 0
        try:
            async for request in requests:
                total += request.number
                if request.number == 666:
                    raise InvalidArgumentError("number", "not that one")
        finally:
            self.cancelled.set()
        return probe.SumResponse(total=total)


class Harness:
    """A conductor with the Probe servicer in front of a gateway, over one of the transports."""

    def __init__(self, node: LocalNode, servicer: Probe) -> None:
        self.node = node
        self.servicer = servicer
        self.stub = ProbeServiceStub(node.channel("conductor"))

    async def echo(self, payload: bytes = b"", timeout: float | None = None) -> probe.EchoResponse:
        return await self.stub.Echo(probe.EchoRequest(payload=payload), timeout=timeout)


@pytest.fixture(params=["memory", "wire"])
async def mesh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    servicer = Probe()
    # The test's own servicer in the place of the standard probe.
    monkeypatch.setattr("services.mesh.standard.ProbeServicer", lambda _identity: servicer)
    async with local_node(ServiceRole("conductor", []), wire=request.param == "wire") as node:
        yield Harness(node, servicer)


async def test_the_caller_and_the_end_user_arrive(mesh: Harness) -> None:
    with calling_as(RequestContext(request_id="req-1", roles=["admin"], is_admin=True)):
        answer = await mesh.echo(b"x")
    (call,) = mesh.servicer.calls
    assert answer == probe.EchoResponse(payload=b"x", request_id="req-1")
    assert call.peer.spiffe_id == "spiffe://testcloud/gateway/host1"
    assert call.context.is_admin
    assert call.method == "/novamesh.mesh.v1.ProbeService/Echo"


async def test_nobody_is_an_empty_context(mesh: Harness) -> None:
    await mesh.echo()
    assert mesh.servicer.calls[0].context == RequestContext()
    assert current_context() == RequestContext()


SAMPLES: list[Failure] = [
    NotFoundError("instance", "i-1"),
    StateConflictError(
        "no", errors.StateConflict(action="pause", allowed_vm_states=[VmState.VM_STATE_ACTIVE])
    ),
    QuotaExceededError([errors.QuotaShortage(resource="cores", limit=1, used=1, requested=1)]),
    UnavailableError("libvirt", "libvirt is down", retry_after=2.5),
    DeadlineExceededError("compute", "too late"),
    PermissionDeniedError("os_compute_api:servers:create"),
    *(cls.from_detail(f"a {name}", cls.detail_type()) for name, cls in FAILURES.items()),
]


@pytest.mark.parametrize("failure", SAMPLES, ids=lambda f: type(f).__name__)
async def test_failures_arrive_as_they_were_raised(mesh: Harness, failure: Failure) -> None:
    async def fail(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        raise failure

    mesh.servicer.act = fail
    with pytest.raises(type(failure)) as caught:
        await mesh.echo()
    assert type(caught.value) is type(failure)
    assert caught.value.message == failure.message
    assert caught.value.detail == failure.detail
    # A role's own "unavailable" is its answer: asking again is the caller's business.
    assert len(mesh.servicer.calls) == 1


class _OwnNotFoundError(NotFoundError):
    """A class that the wire doesn't know."""


async def test_a_failures_subclass_arrives_as_its_known_base(mesh: Harness) -> None:
    async def fail(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        raise _OwnNotFoundError("flavor", "f")

    mesh.servicer.act = fail
    with pytest.raises(NotFoundError) as caught:
        await mesh.echo()
    assert type(caught.value) is NotFoundError


async def test_a_mistake_is_told_without_its_text(mesh: Harness) -> None:
    async def stumble(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        raise RuntimeError("the password is 1234")

    mesh.servicer.act = stumble
    with calling_as(RequestContext(request_id="req-9")), pytest.raises(InternalError) as caught:
        await mesh.echo()
    assert "1234" not in caught.value.message
    assert caught.value.detail == errors.Internal(
        method="/novamesh.mesh.v1.ProbeService/Echo", request_id="req-9"
    )


async def test_a_servicers_own_timeout_is_a_mistake(mesh: Harness) -> None:
    async def stumble(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        raise TimeoutError

    mesh.servicer.act = stumble
    with pytest.raises(InternalError):
        await mesh.echo(timeout=10)


async def test_a_servicer_whose_work_was_cancelled_is_unavailable(mesh: Harness) -> None:
    async def give_up(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        raise asyncio.CancelledError

    mesh.servicer.act = give_up
    with pytest.raises(UnavailableError, match="was given up"):
        await mesh.echo()


async def test_a_missing_method_answers_by_its_name(mesh: Harness) -> None:
    with pytest.raises(NotSupportedError, match="ProbeService/Relay is not implemented"):
        await mesh.stub.Relay().read()


async def test_no_row_no_call(mesh: Harness) -> None:
    stranger = await mesh.node.peer("janitor")
    with pytest.raises(PermissionDeniedError, match="The role janitor may not call Echo"):
        await ProbeServiceStub(stranger.channel("conductor")).Echo(probe.EchoRequest())
    with pytest.raises(PermissionDeniedError):
        async for _ in ProbeServiceStub(stranger.channel("conductor")).Count(probe.CountRequest()):
            pass
    assert mesh.servicer.calls == []


async def test_a_role_without_an_address_is_unavailable(mesh: Harness) -> None:
    with pytest.raises(UnavailableError, match="No address is configured for the role scheduler") as caught:
        await ProbeServiceStub(mesh.node.channel("scheduler")).Echo(probe.EchoRequest())
    assert caught.value.detail == errors.Unavailable(part="scheduler")


async def test_the_default_deadline_is_30_seconds(mesh: Harness) -> None:
    await mesh.echo()
    assert 28 < mesh.servicer.calls[0].remaining() <= 30


async def test_a_late_answer_is_a_deadline_exceeded(mesh: Harness) -> None:
    async def dawdle(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        try:
            await asyncio.Event().wait()
        finally:
            mesh.servicer.cancelled.set()
        raise AssertionError

    mesh.servicer.act = dawdle
    with pytest.raises(DeadlineExceededError, match="conductor did not answer"):
        await mesh.echo(timeout=0.1)
    await asyncio.wait_for(mesh.servicer.cancelled.wait(), 5)


async def test_inner_calls_carry_the_user_and_a_shorter_deadline(mesh: Harness) -> None:
    compute = await mesh.node.peer("compute")
    inner_stub = ProbeServiceStub(compute.channel("conductor"))
    seen: list[float] = []

    async def outer(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        mesh.servicer.act = mesh.servicer.plain
        seen.append(call.deadline)
        return await inner_stub.Echo(request, timeout=60)

    mesh.servicer.act = outer
    with calling_as(RequestContext(request_id="req-2", project_id="p")):
        answer = await mesh.echo(timeout=10)
    outer_call, inner_call = mesh.servicer.calls
    assert answer.request_id == "req-2"
    assert inner_call.peer.role == "compute"
    assert inner_call.context == outer_call.context
    assert inner_call.deadline < outer_call.deadline - 0.1
    # Where a test stands itself, nothing of that is left.
    assert SCOPE.get().call is None


async def test_the_inner_timeout_is_the_one_reported(mesh: Harness) -> None:
    compute = await mesh.node.peer("compute")
    inner_stub = ProbeServiceStub(compute.channel("conductor"))

    async def dawdle(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async def outer(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        mesh.servicer.act = dawdle
        try:
            return await inner_stub.Echo(request)
        except DeadlineExceededError as error:
            raise UnavailableError("inner", "the inner one was late") from error

    mesh.servicer.act = outer
    with pytest.raises(UnavailableError, match="the inner one was late"):
        await mesh.echo(timeout=0.5)


async def test_work_left_behind_outlives_the_deadline(mesh: Harness) -> None:
    compute = await mesh.node.peer("compute")
    inner_stub = ProbeServiceStub(compute.channel("conductor"))
    release = asyncio.Event()
    left: list[asyncio.Task[probe.EchoResponse]] = []

    async def later() -> probe.EchoResponse:
        await release.wait()
        return await inner_stub.Echo(probe.EchoRequest())

    async def outer(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        left.append(asyncio.create_task(later()))
        return probe.EchoResponse()

    mesh.servicer.act = outer
    with calling_as(RequestContext(request_id="req-3")):
        await mesh.echo(timeout=1)
    mesh.servicer.act = mesh.servicer.plain
    release.set()
    assert (await left[0]).request_id == "req-3"
    assert mesh.servicer.calls[-1].remaining() > 20


async def test_administrators_are_not_believed_from_beside_guests(mesh: Harness) -> None:
    compute = await mesh.node.peer("compute")
    claimed = RequestContext(request_id="r", is_admin=True, roles=["admin", "member"])
    with calling_as(claimed):
        await ProbeServiceStub(compute.channel("conductor")).Echo(probe.EchoRequest())
    assert mesh.servicer.calls[0].context == RequestContext(request_id="r", roles=["member"])
    assert claimed.is_admin


async def test_an_operator_is_an_administrator_whatever_the_call_claims(mesh: Harness) -> None:
    admin = await mesh.node.peer("admin", "laptop")
    with calling_as(RequestContext(request_id="r", user_id="somebody", project_id="p")):
        await ProbeServiceStub(admin.channel("conductor")).Echo(probe.EchoRequest())
    context = mesh.servicer.calls[0].context
    assert (context.user_id, context.user_name, context.is_admin) == ("", "admin@laptop", True)


async def test_a_cancelled_caller_cancels_the_servicer(mesh: Harness) -> None:
    async def dawdle(request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        mesh.servicer.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            mesh.servicer.cancelled.set()
        raise AssertionError

    mesh.servicer.act = dawdle
    task = asyncio.create_task(mesh.echo())
    await asyncio.wait_for(mesh.servicer.begun.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(mesh.servicer.cancelled.wait(), 5)


async def test_many_at_once(mesh: Harness) -> None:
    answers = await asyncio.gather(*(mesh.echo(bytes([n])) for n in range(100)))
    assert [a.payload[0] for a in answers] == list(range(100))


async def test_a_stream_that_fails_gives_what_it_had(mesh: Harness) -> None:
    seen = []
    with pytest.raises(NotFoundError) as caught:
        async for message in mesh.stub.Count(probe.CountRequest(upto=2)):
            seen.append(message.number)
    assert seen == [0, 1]
    assert caught.value.detail == errors.NotFound(resource_type="number", resource_id="3")


async def test_a_stream_has_no_default_deadline(mesh: Harness) -> None:
    stream = mesh.stub.Count(probe.CountRequest(upto=3))
    assert (await stream.read()) == probe.CountResponse(number=0)
    assert mesh.servicer.calls[0].remaining() == float("inf")
    stream.cancel()


async def test_a_streams_deadline(mesh: Harness) -> None:
    with pytest.raises(DeadlineExceededError):
        async for _ in mesh.stub.Count(probe.CountRequest(upto=3), timeout=0.1):
            pass
    await asyncio.wait_for(mesh.servicer.cancelled.wait(), 5)


async def test_a_stream_that_is_let_go_ends(mesh: Harness) -> None:
    async for _ in mesh.stub.Count(probe.CountRequest(upto=3)):
        break
    await asyncio.wait_for(mesh.servicer.cancelled.wait(), 5)


async def test_a_stream_longer_than_the_queues(mesh: Harness) -> None:
    stream = mesh.stub.Count(probe.CountRequest(upto=1000))
    for number in range(1000):
        assert (await stream.read()) == probe.CountResponse(number=number)
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream.read()


async def _numbers(*numbers: int) -> AsyncIterator[probe.SumRequest]:
    for number in numbers:
        yield probe.SumRequest(number=number)


async def test_streaming_to_a_servicer(mesh: Harness) -> None:
    assert (await mesh.stub.Sum(_numbers(*range(200)))).total == sum(range(200))
    assert (await mesh.stub.Sum(iter([probe.SumRequest(number=4)]))).total == 4
    call = mesh.stub.Sum()
    await call.write(probe.SumRequest(number=1))
    await call.write(probe.SumRequest(number=2))
    await call.done_writing()
    assert (await call).total == 3


async def test_a_servicer_that_stops_listening(mesh: Harness) -> None:
    with pytest.raises(InvalidArgumentError, match="not that one"):
        await mesh.stub.Sum(_numbers(666, *range(500)))


async def test_a_mistake_of_the_sender_comes_back_to_the_sender(mesh: Harness) -> None:
    async def broken() -> AsyncIterator[probe.SumRequest]:
        yield probe.SumRequest(number=1)
        await asyncio.wait_for(mesh.servicer.begun.wait(), 5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await mesh.stub.Sum(broken())
    await asyncio.wait_for(mesh.servicer.cancelled.wait(), 5)


async def test_the_channel_is_ready(mesh: Harness) -> None:
    channel = mesh.node.channel("conductor")
    await asyncio.wait_for(channel.channel_ready(), 5)
    assert channel.get_state() is grpc.ChannelConnectivity.READY
    assert mesh.node.channel("conductor") is channel


def test_a_servicer_of_the_wrong_kind_is_found_at_once() -> None:
    class Wrong:
        async def Count(self, request: probe.CountRequest, call: Call) -> probe.CountResponse:
            return probe.CountResponse()

    async def serve() -> None:
        binding = Binding(probe.DESCRIPTOR.services_by_name["ProbeService"], Wrong())
        async with local_node(ServiceRole("conductor", [binding])):
            pass

    with pytest.raises(TypeError, match=r"Wrong.Count must be an async generator"):
        asyncio.run(serve())


def test_remaining_never_goes_below_zero() -> None:
    async def check() -> None:
        async with local_node() as node:
            assert Call(node.identity, deadline=monotonic() - 5).remaining() == 0.0

    asyncio.run(check())

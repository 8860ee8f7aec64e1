"""What every server answers, whatever its role: probe, health, reflection, channelz."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc
from grpc_channelz.v1 import channelz_pb2
from grpc_channelz.v1._servicer import ChannelzServicer as BlockingChannelz
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from novamesh.failures import InternalError, InvalidArgumentError, NotFoundError
from novamesh.mesh.v1 import probe_service_pb2 as probe
from services.mesh.binding import Binding
from services.mesh.context import Call
from services.mesh.identity import Peer

_MOST_NUMBERS = 100_000
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class ProbeServicer:
    """novamesh.mesh.v1.ProbeService: how calls arrive here."""

    def __init__(self, identity: Peer) -> None:
        self._server = identity.spiffe_id

    async def Echo(self, request: probe.EchoRequest, call: Call) -> probe.EchoResponse:
        """Send the payload back, with who the caller is taken for."""
        return probe.EchoResponse(
            payload=request.payload,
            caller=call.peer.spiffe_id,
            server=self._server,
            request_id=call.context.request_id,
        )

    async def Count(self, request: probe.CountRequest, call: Call) -> AsyncIterator[probe.CountResponse]:
        """Stream the numbers from 1."""
        if not 0 <= request.upto <= _MOST_NUMBERS:
            raise InvalidArgumentError("upto", f"upto must be between 0 and {_MOST_NUMBERS}.")
        for number in range(1, request.upto + 1):
            yield probe.CountResponse(number=number)

    async def Sum(self, requests: AsyncIterator[probe.SumRequest], call: Call) -> probe.SumResponse:
        """Add up."""
        total = 0
        async for request in requests:
            total += request.number
        return probe.SumResponse(total=total)

    async def Relay(
        self, requests: AsyncIterator[probe.RelayRequest], call: Call
    ) -> AsyncIterator[probe.RelayResponse]:
        """Answer each payload as it comes."""
        async for request in requests:
            yield probe.RelayResponse(payload=request.payload)


class HealthServicer:
    """grpc.health.v1.Health: SERVING for each service whose role has started, and for "" when all have."""

    def __init__(self) -> None:
        self._states: dict[str, Any] = {"": _NOT_SERVING}
        self._changed = asyncio.Event()

    def set(self, services: Iterable[str], *, serving: bool) -> None:
        """Say whether these services, and the server as a whole, answer."""
        for service in ("", *services):
            self._states[service] = _SERVING if serving else _NOT_SERVING
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(
        self, request: health_pb2.HealthCheckRequest, call: Call
    ) -> health_pb2.HealthCheckResponse:
        """The state now."""
        if request.service not in self._states:
            raise NotFoundError("service", request.service)
        return health_pb2.HealthCheckResponse(status=self._states[request.service])

    async def List(self, request: health_pb2.HealthListRequest, call: Call) -> health_pb2.HealthListResponse:
        """All states."""
        answer = health_pb2.HealthListResponse()
        for service, state in self._states.items():
            answer.statuses[service].status = state
        return answer

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, call: Call
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """The state now, and whenever it changes."""
        last = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, _UNKNOWN)
            if state != last:
                last = state
                yield health_pb2.HealthCheckResponse(status=state)
            await changed.wait()


class _Verdict:
    """Catches what grpc_channelz says through a servicer context."""

    code: grpc.StatusCode | None = None
    details = ""

    def set_code(self, code: grpc.StatusCode) -> None:
        """The status."""
        self.code = code

    def set_details(self, details: str) -> None:
        """Its sentence."""
        self.details = details


def _channelz(name: str) -> Callable[[Any, Call], Awaitable[Any]]:
    blocking = getattr(BlockingChannelz, name)

    async def answer(request: Any, call: Call) -> Any:
        verdict = _Verdict()
        response = blocking(request, verdict)
        if verdict.code is grpc.StatusCode.NOT_FOUND:
            raise NotFoundError("channelz entity", "", verdict.details)
        if response is None:
            raise InternalError(call.method, message=verdict.details)
        return response

    return answer


class ChannelzServicer:
    """grpc.channelz.v1.Channelz: the process's own servers, channels and sockets."""

    def __init__(self) -> None:
        self.GetTopChannels = _channelz("GetTopChannels")
        self.GetServers = _channelz("GetServers")
        self.GetServer = _channelz("GetServer")
        self.GetServerSockets = _channelz("GetServerSockets")
        self.GetChannel = _channelz("GetChannel")
        self.GetSubchannel = _channelz("GetSubchannel")
        self.GetSocket = _channelz("GetSocket")


def standard_bindings(identity: Peer, services: Iterable[str], health: HealthServicer) -> list[Binding]:
    """The bindings of every server; `services` are the role's own, for reflection to list."""
    own = [
        Binding(probe.DESCRIPTOR.services_by_name["ProbeService"], ProbeServicer(identity)),
        Binding(health_pb2.DESCRIPTOR.services_by_name["Health"], health),
        Binding(channelz_pb2.DESCRIPTOR.services_by_name["Channelz"], ChannelzServicer()),
    ]
    reflection = reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]
    names = [*services, *(binding.service.full_name for binding in own), reflection.full_name]
    return [*own, Binding(reflection, ReflectionServicer(service_names=names))]

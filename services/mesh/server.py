"""The grpc.aio server: methods behind the chain, over mutual TLS."""

import errno
import math
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from novamesh.failures import Failure, InvalidArgumentError, UnauthenticatedError
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh.certificates import peer_and_end
from services.mesh.chain import Method, believed
from services.mesh.channel_options import CONTEXT_KEY, MESSAGE_LIMIT
from services.mesh.context import NOBODY, Call
from services.mesh.identity import STRANGER, Peer
from services.mesh.status import status_of
from services.mesh.tracing import TRACEPARENT

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Age:
    """How long connections live, in seconds.

    A kept connection outlives the certificate it was made with; ending it makes the
    client show its present one.
    """

    most: float = 3600.0
    grace: float = 300.0


class _Arrival:
    """Reads who calls, for whom and until when from a gRPC call."""

    def __init__(self, cluster: str, *, strangers: bool) -> None:
        self._cluster = cluster
        self._stranger = Peer(cluster, STRANGER, "") if strangers else None

    def call(self, method: str, context: Context) -> tuple[Call, str]:
        """The call and its traceparent. Raises UnauthenticatedError."""
        peer = self._stranger or self._peer(context)
        claimed, traceparent = NOBODY, ""
        for key, value in context.invocation_metadata() or ():
            if key == CONTEXT_KEY and isinstance(value, bytes):
                claimed = _context(value)
            elif key == TRACEPARENT and isinstance(value, str):
                traceparent = value
        left = context.time_remaining()
        deadline = math.inf if left is None else monotonic() + left
        return Call(peer, believed(peer, claimed), method, deadline), traceparent

    def _peer(self, context: Context) -> Peer:
        for pem in context.auth_context().get("x509_pem_cert", ()):
            peer, end = peer_and_end(pem)
            # The handshake checked the date; the connection may have outlived it.
            if end < time():
                raise UnauthenticatedError(f"The certificate of {peer.spiffe_id} has ended.")
            if peer.cluster != self._cluster:
                raise UnauthenticatedError(f"{peer.spiffe_id} belongs to another cloud.")
            return peer
        raise UnauthenticatedError("The connection shows no client certificate.")


def _context(encoded: bytes) -> RequestContext:
    try:
        return RequestContext.FromString(encoded)
    except DecodeError:
        raise InvalidArgumentError(CONTEXT_KEY, f"{CONTEXT_KEY} is not a RequestContext.") from None


async def _refuse(context: Context, failure: Failure) -> None:
    code, trailing = status_of(failure)
    await context.abort(code, failure.message, trailing)


def _handler(method: Method, arrival: _Arrival) -> "grpc.RpcMethodHandler[Any, Any]":
    """The method as gRPC wants it."""
    name = method.name

    async def answer(request: Any, context: Context) -> Message | None:
        try:
            call, traceparent = arrival.call(name, context)
            return await method.answer(request, call, traceparent)
        except Failure as failure:
            await _refuse(context, failure)
            return None

    async def stream(request: Any, context: Context) -> AsyncIterator[Message]:
        try:
            call, traceparent = arrival.call(name, context)
            async for message in method.stream(request, call, traceparent):
                yield message
        except Failure as failure:
            await _refuse(context, failure)

    parse, write = method.request_type.FromString, method.response_type.SerializeToString
    if method.server_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler
            if method.client_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        return make(stream, parse, write)
    make = (
        grpc.stream_unary_rpc_method_handler
        if method.client_streaming
        else grpc.unary_unary_rpc_method_handler
    )
    return make(answer, parse, write)


class Server:
    """One listening address."""

    def __init__(self, cluster: str, methods: Mapping[str, Method], age: Age) -> None:
        self._server = grpc.aio.server(
            options=[
                # Two servers on one port would share its calls at random; better an error.
                ("grpc.so_reuseport", 0),
                ("grpc.max_receive_message_length", MESSAGE_LIMIT),
                ("grpc.max_send_message_length", MESSAGE_LIMIT),
                ("grpc.max_connection_age_ms", int(age.most * 1000)),
                ("grpc.max_connection_age_grace_ms", int(age.grace * 1000)),
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.enable_channelz", 1),
            ]
        )
        self._cluster = cluster
        self._methods = methods
        self.address = ""

    def listen(self, address: str, credentials: grpc.ServerCredentials, *, strangers: bool = False) -> str:
        """Bind `host:port` (port 0: any free one) and return the address. Raises OSError when it is taken."""
        arrival = _Arrival(self._cluster, strangers=strangers)
        self._server.add_generic_rpc_handlers(_generic(self._methods.values(), arrival))
        try:
            port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(errno.EADDRINUSE, f"can't listen on {address}: {error}") from None
        self.address = f"{address.rpartition(':')[0]}:{port}"
        return self.address

    async def start(self) -> None:
        """Begin to answer."""
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no new calls, give those under way `grace` seconds, then end them."""
        await self._server.stop(grace)


def _generic(methods: Iterable[Method], arrival: _Arrival) -> list[grpc.GenericRpcHandler]:
    services: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
    for method in methods:
        service, _, name = method.name[1:].partition("/")
        services.setdefault(service, {})[name] = _handler(method, arrival)
    return [grpc.method_handlers_generic_handler(name, table) for name, table in services.items()]

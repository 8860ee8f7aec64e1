"""The channel that roles call through: in memory where the other side is in this process, else mutual TLS.

It is a grpc.aio.Channel, so the generated stubs take it as they are. It adds
the end user and the trace to every call, trims its deadline, and turns what
comes back into novamesh.failures.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
import grpc.aio

from services.mesh.chain import believed
from services.mesh.channel_options import (
    CONTEXT_KEY,
    DEFAULT_TIMEOUT,
    channel_options,
    service_config,
    trimmed,
)
from services.mesh.context import NOBODY, SCOPE, Call, Scope
from services.mesh.identity import Peer
from services.mesh.local import (
    LocalConnection,
    LocalStreamStreamCall,
    LocalStreamUnaryCall,
    LocalUnaryStreamCall,
    Served,
)
from services.mesh.policy import Policy
from services.mesh.tracing import TRACEPARENT, current_traceparent
from services.mesh.wire import (
    WireCall,
    WireStreamStreamCall,
    WireStreamUnaryCall,
    WireUnaryCall,
    WireUnaryStreamCall,
)

_INFINITE = float("inf")


class Credentials(Protocol):
    """What a caller shows."""

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """gRPC's form of it."""
        ...


class Origin(Protocol):
    """The node that a channel belongs to."""

    @property
    def identity(self) -> Peer:
        """Who calls."""
        ...

    @property
    def certificate(self) -> Credentials:
        """The certificate to show now."""
        ...

    @property
    def policy(self) -> Policy:
        """The table, which knows every method's name."""
        ...

    @property
    def traced(self) -> bool:
        """Whether spans are recorded here."""
        ...

    def retire(self, channel: grpc.aio.Channel) -> None:
        """Close a connection whose certificate was renewed, once its calls are done."""
        ...


class Destination(Protocol):
    """Where a channel leads. Asked at every call, since roles come and go."""

    role: str
    # What people call it, for example `conductor` or `compute at 10.0.0.7:9004`.
    part: str
    # The DNS name that the server's certificate must have.
    expected_name: str

    def local(self) -> Served | None:
        """The role in this process, if it is here."""
        ...

    def address(self) -> str:
        """gRPC's target. Raises UnavailableError when none is known."""
        ...


def _timeout(scope: Scope, timeout: float | None, default: float | None) -> float | None:
    limit = scope.deadline()
    wanted = default if timeout is None else timeout
    if limit == _INFINITE:
        return wanted
    left = max(0.0, trimmed(limit - monotonic()))
    return left if wanted is None else min(wanted, left)


class MeshChannel(grpc.aio.Channel):
    """See the module. Made by `Node.channel` and `Node.channel_to`."""

    def __init__(self, origin: Origin, destination: Destination) -> None:
        self._origin = origin
        self._destination = destination
        self._inner: grpc.aio.Channel | None = None
        self._certificate: Credentials | None = None
        self._local: LocalConnection | None = None
        self._served: Served | None = None
        self._callables: dict[str, Any] = {}

    @property
    def part(self) -> str:
        """What people call the other side."""
        return self._destination.part

    def local(self) -> LocalConnection | None:
        """The way in memory, when the other side is in this process."""
        served = self._destination.local()
        if served is None:
            return None
        if served is not self._served:
            self._served, self._local = served, LocalConnection(served, self.part)
        return self._local

    def connect(self) -> grpc.aio.Channel:
        """The connection, made again when the certificate has changed."""
        certificate = self._origin.certificate
        if self._inner is not None and certificate is self._certificate:
            return self._inner
        if self._inner is not None:
            self._origin.retire(self._inner)
        self._callables.clear()
        prefix = f"/novamesh.{self._destination.role}."
        methods = [name for name in self._origin.policy if name.startswith((prefix, "/novamesh.mesh."))]
        self._inner = grpc.aio.secure_channel(
            self._destination.address(),
            certificate.channel_credentials(),
            options=channel_options(self._destination.expected_name, service_config(methods)),
        )
        self._certificate = certificate
        return self._inner

    def callable(self, name: str, make: Callable[[grpc.aio.Channel], Any]) -> Any:
        """gRPC's own callable for a method, kept as long as the connection."""
        inner = self.connect()
        found = self._callables.get(name)
        if found is None:
            found = self._callables[name] = make(inner)
        return found

    def call(self, name: str, scope: Scope, timeout: float | None) -> Call:
        """The call as the servicer in this process sees it."""
        deadline = _INFINITE if timeout is None else monotonic() + timeout
        caller = self._origin.identity
        return Call(caller, believed(caller, scope.context), name, deadline)

    def metadata(self, scope: Scope, extra: Any) -> list[tuple[str, str | bytes]]:
        """What goes with a call over the wire."""
        metadata: list[tuple[str, str | bytes]] = list(extra or ())
        if scope.context is not NOBODY:
            metadata.append((CONTEXT_KEY, scope.encoded()))
        traceparent = current_traceparent() if self._origin.traced else scope.traceparent
        if traceparent:
            metadata.append((TRACEPARENT, traceparent))
        return metadata

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryUnaryMultiCallable[Any, Any]:
        """One message there, one back."""
        return _UnaryUnary(
            self, method, lambda c: c.unary_unary(method, request_serializer, response_deserializer)
        )

    def unary_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.UnaryStreamMultiCallable[Any, Any]:
        """One message there, many back."""
        return _UnaryStream(
            self, method, lambda c: c.unary_stream(method, request_serializer, response_deserializer)
        )

    def stream_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamUnaryMultiCallable[Any, Any]:
        """Many messages there, one back."""
        return _StreamUnary(
            self, method, lambda c: c.stream_unary(method, request_serializer, response_deserializer)
        )

    def stream_stream(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> grpc.aio.StreamStreamMultiCallable[Any, Any]:
        """Many messages both ways."""
        return _StreamStream(
            self, method, lambda c: c.stream_stream(method, request_serializer, response_deserializer)
        )

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Whether the connection stands; a role in this process is always ready."""
        if self.local() is not None:
            return grpc.ChannelConnectivity.READY
        return self.connect().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until `get_state` would answer something else."""
        if self.local() is not None:
            if last_observed_state is grpc.ChannelConnectivity.READY:
                await asyncio.Event().wait()
            return
        await self.connect().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the connection stands."""
        if self.local() is None:
            await self.connect().channel_ready()

    async def close(self, grace: float | None = None) -> None:
        """Close the connection; the next call makes another."""
        inner, self._inner = self._inner, None
        self._callables.clear()
        if inner is not None:
            await inner.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.close()


class _Callable:
    """A method of the other side, whichever way leads there."""

    def __init__(self, channel: MeshChannel, name: str, make: Callable[[grpc.aio.Channel], Any]) -> None:
        self._channel = channel
        self._name = name
        self._make = make

    def _begin(self, call: WireCall, source: Any, timeout: float | None, options: dict[str, Any]) -> None:
        """Call over the wire. `options` are gRPC's own: metadata, wait_for_ready, compression."""
        channel = self._channel
        options["metadata"] = channel.metadata(SCOPE.get(), options.get("metadata"))
        call.begin(channel.callable(self._name, self._make)(source, timeout=timeout, **options))


class _UnaryUnary(_Callable, grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __call__(
        self, request: Any, *, timeout: float | None = None, **options: Any
    ) -> grpc.aio.UnaryUnaryCall[Any, Any]:
        scope = SCOPE.get()
        left = _timeout(scope, timeout, DEFAULT_TIMEOUT)
        channel = self._channel
        local = channel.local()
        if local is not None:
            return local.unary(self._name, request, channel.call(self._name, scope, left), left)
        call = WireUnaryCall(self._name, channel.part)
        self._begin(call, request, left, options)
        return call


class _UnaryStream(_Callable, grpc.aio.UnaryStreamMultiCallable[Any, Any]):
    def __call__(
        self, request: Any, *, timeout: float | None = None, **options: Any
    ) -> grpc.aio.UnaryStreamCall[Any, Any]:
        scope = SCOPE.get()
        left = _timeout(scope, timeout, None)
        local = self._channel.local()
        if local is not None:
            served = self._channel.call(self._name, scope, left)
            return LocalUnaryStreamCall(local.stream(self._name, served, left), request)
        call = WireUnaryStreamCall(self._name, self._channel.part)
        self._begin(call, request, left, options)
        return call


class _StreamUnary(_Callable, grpc.aio.StreamUnaryMultiCallable[Any, Any]):
    def __call__(
        self, request_iterator: Any = None, timeout: float | None = None, *_: Any, **options: Any
    ) -> grpc.aio.StreamUnaryCall[Any, Any]:
        scope = SCOPE.get()
        left = _timeout(scope, timeout, None)
        local = self._channel.local()
        if local is not None:
            served = self._channel.call(self._name, scope, left)
            return LocalStreamUnaryCall(local.stream(self._name, served, left), request_iterator)
        call = WireStreamUnaryCall(self._name, self._channel.part)
        source = None if request_iterator is None else call.feed(request_iterator)
        self._begin(call, source, left, options)
        return call


class _StreamStream(_Callable, grpc.aio.StreamStreamMultiCallable[Any, Any]):
    def __call__(
        self, request_iterator: Any = None, timeout: float | None = None, *_: Any, **options: Any
    ) -> grpc.aio.StreamStreamCall[Any, Any]:
        scope = SCOPE.get()
        left = _timeout(scope, timeout, None)
        local = self._channel.local()
        if local is not None:
            served = self._channel.call(self._name, scope, left)
            return LocalStreamStreamCall(local.stream(self._name, served, left), request_iterator)
        call = WireStreamStreamCall(self._name, self._channel.part)
        source = None if request_iterator is None else call.feed(request_iterator)
        self._begin(call, source, left, options)
        return call

"""The one chain that every call passes on its way to a servicer.

Both transports use it: the grpc.aio server and the in-memory channel. In order:
context (whom to believe), policy (who may), the scope for outgoing calls, the
trace, the servicer, errors, logs, metrics. Deadlines are kept by the transport,
and passed inward by the scope.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from inspect import isasyncgenfunction
from time import perf_counter
from typing import Any

import structlog
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.trace import Tracer

from novamesh.failures import (
    Failure,
    InternalError,
    NotSupportedError,
    PermissionDeniedError,
    UnavailableError,
)
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.mesh import metrics, tracing
from services.mesh.binding import Binding
from services.mesh.context import NOBODY, SCOPE, Call, Scope
from services.mesh.identity import STRANGER, Peer
from services.mesh.policy import Policy
from services.mesh.policy.roles import ADMIN, EXPOSED_ROLES
from services.mesh.status import registered

log = structlog.get_logger("novamesh.mesh")

UnaryHandler = Callable[[Any, Call], Awaitable[Message]]
StreamHandler = Callable[[Any, Call], AsyncIterator[Message]]


@dataclass(frozen=True)
class Chain:
    """What the chain needs beside the servicer: the table, and a tracer where one is configured."""

    policy: Policy
    tracer: Tracer | None = None


def believed(peer: Peer, claimed: RequestContext) -> RequestContext:
    """The end user that a call from `peer` is taken to come from.

    Roles pass the end user on. Those beside guests can't pass an administrator
    on, so that a stolen host gains no privilege. An operator's certificate is
    itself the administrator, whatever the call claims.
    """
    role = peer.role
    if role == ADMIN:
        return RequestContext(
            request_id=claimed.request_id, user_name=f"{ADMIN}@{peer.host}", roles=["admin"], is_admin=True
        )
    if role == STRANGER:
        return NOBODY
    if claimed.is_admin and role in EXPOSED_ROLES:
        plain = RequestContext()
        plain.CopyFrom(claimed)
        plain.is_admin = False
        plain.ClearField("roles")
        plain.roles.extend(name for name in claimed.roles if name != "admin")
        return plain
    return claimed


class Method:
    """One rpc as it is served: the servicer's method behind the chain."""

    def __init__(self, descriptor: MethodDescriptor, servicer: object, chain: Chain) -> None:
        assert descriptor.containing_service is not None
        self.name = f"/{descriptor.containing_service.full_name}/{descriptor.name}"
        self.client_streaming = bool(descriptor.client_streaming)
        self.server_streaming = bool(descriptor.server_streaming)
        self.request_type: type[Message] = GetMessageClass(descriptor.input_type)
        self.response_type: type[Message] = GetMessageClass(descriptor.output_type)
        self._handler: Any = getattr(servicer, descriptor.name, None)
        if self._handler is not None and self.server_streaming != isasyncgenfunction(self._handler):
            kind = "an async generator" if self.server_streaming else "an async function"
            raise TypeError(f"{type(servicer).__name__}.{descriptor.name} must be {kind}")
        self._allowed = chain.policy.get(self.name, frozenset())
        self._tracer = chain.tracer
        self._seconds = metrics.SECONDS.labels(self.name)
        self._counters: dict[tuple[str, str], Any] = {}

    async def answer(self, request: Any, call: Call, traceparent: str = "") -> Message:
        """Answer with one message. Raises only Failure and CancelledError."""
        started = perf_counter()
        outcome = "OK"
        token = SCOPE.set(self._scope(call, traceparent))
        try:
            self._admit(call)
            handler: UnaryHandler = self._handler
            if self._tracer is None:
                return await handler(request, call)
            with tracing.server_span(self._tracer, call, traceparent):
                return await handler(request, call)
        except asyncio.CancelledError:
            outcome = "Cancelled"
            _check_cancelled(call)
            raise
        except Exception as error:
            failure = self._settle(error, call)
            outcome = type(failure).__name__
            if failure is error:
                raise
            raise failure from error
        finally:
            call.ended = True
            SCOPE.reset(token)
            self._count(call, outcome, started)

    async def stream(self, request: Any, call: Call, traceparent: str = "") -> AsyncIterator[Message]:
        """Answer with many messages. Runs in a task of its own, whose scope it keeps."""
        started = perf_counter()
        outcome = "OK"
        SCOPE.set(self._scope(call, traceparent))
        metrics.STREAMS.labels(self.name).inc()
        span = tracing.start_stream_span(self._tracer, call, traceparent)
        try:
            self._admit(call)
            handler: StreamHandler = self._handler
            async for message in handler(request, call):
                yield message
        except GeneratorExit:
            outcome = "Cancelled"
            raise
        except asyncio.CancelledError:
            outcome = "Cancelled"
            _check_cancelled(call)
            raise
        except Exception as error:
            failure = self._settle(error, call)
            outcome = type(failure).__name__
            if failure is error:
                raise
            raise failure from error
        finally:
            call.ended = True
            tracing.end_stream_span(span, outcome)
            metrics.STREAMS.labels(self.name).dec()
            self._count(call, outcome, started)

    def _scope(self, call: Call, traceparent: str) -> Scope:
        if not traceparent and self._tracer is None:
            # The caller is in this process: pass on what it was given.
            traceparent = SCOPE.get().traceparent
        return Scope(call.context, call, traceparent)

    def _admit(self, call: Call) -> None:
        if call.peer.role not in self._allowed:
            why = "" if self._allowed else " (no row in the policy)"
            raise PermissionDeniedError(
                self.name, f"The role {call.peer.role} may not call {self.name.rsplit('/')[-1]}{why}."
            )
        if self._handler is None:
            raise NotSupportedError(self.name, f"{self.name} is not implemented yet.")

    def _settle(self, error: Exception, call: Call) -> Failure:
        """The failure that the caller gets for what the servicer raised; the rest goes to the log."""
        if isinstance(error, PermissionDeniedError) and call.peer.role not in self._allowed:
            log.warning("call refused by policy", method=self.name, caller=call.peer.spiffe_id)
        if isinstance(error, Failure):
            failure = registered(error)
            log.debug("call failed", method=self.name, failure=type(failure).__name__, reason=failure.message)
            return failure
        log.error(
            "call failed unexpectedly",
            method=self.name,
            caller=call.peer.spiffe_id,
            request_id=call.context.request_id,
            exc_info=error,
        )
        return InternalError(self.name, call.context.request_id)

    def _count(self, call: Call, outcome: str, started: float) -> None:
        key = (call.peer.role, outcome)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = metrics.CALLS.labels(self.name, *key)
        counter.inc()
        self._seconds.observe(perf_counter() - started)


def _check_cancelled(call: Call) -> None:
    """Tell a caller that went away from a servicer whose own work was cancelled under it.

    The latter answers UnavailableError; gRPC itself would never answer.
    """
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        part = call.method[1:].partition("/")[0]
        raise UnavailableError(part, f"{call.method} was given up before it was done.") from None


def methods_of(bindings: list[Binding], chain: Chain) -> dict[str, Method]:
    """Every rpc of the bindings by its full name."""
    methods = {}
    for binding in bindings:
        for descriptor in binding.service.methods:
            method = Method(descriptor, binding.servicer, chain)
            if method.name in methods:
                raise ValueError(f"{method.name} is bound twice")
            methods[method.name] = method
    return methods

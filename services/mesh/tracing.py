"""Trace context: W3C `traceparent`, and OpenTelemetry spans where a tracer is configured.

Without a tracer the header is passed on as it came, so that a trace survives roles that don't record it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context as otel_context
from opentelemetry.trace import (
    Span,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.mesh.context import Call

TRACEPARENT = "traceparent"
_PROPAGATOR = TraceContextTextMapPropagator()


def _parent(traceparent: str) -> otel_context.Context | None:
    """The caller's span, or None for the current one (the caller is in this process)."""
    return _PROPAGATOR.extract({TRACEPARENT: traceparent}) if traceparent else None


def _attributes(call: Call) -> dict[str, str]:
    service, _, method = call.method[1:].partition("/")
    return {
        "rpc.system": "grpc",
        "rpc.service": service,
        "rpc.method": method,
        "novamesh.caller": call.peer.spiffe_id,
        "novamesh.request_id": call.context.request_id,
    }


@contextmanager
def server_span(tracer: Tracer, call: Call, traceparent: str) -> Iterator[None]:
    """A span around one answer."""
    with tracer.start_as_current_span(
        call.method[1:], _parent(traceparent), SpanKind.SERVER, _attributes(call)
    ):
        yield


def start_stream_span(tracer: Tracer | None, call: Call, traceparent: str) -> Span | None:
    """Begin the span of a streamed answer, current for the rest of this task."""
    if tracer is None:
        return None
    span = tracer.start_span(call.method[1:], _parent(traceparent), SpanKind.SERVER, _attributes(call))
    otel_context.attach(set_span_in_context(span))
    return span


def end_stream_span(span: Span | None, outcome: str) -> None:
    """End the span of a streamed answer."""
    if span is None:
        return
    if outcome != "OK":
        span.set_status(Status(StatusCode.ERROR, outcome))
    span.end()


def current_traceparent() -> str:
    """The header that names the current span; empty when there is none."""
    span = get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"

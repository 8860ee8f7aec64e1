"""Failures to gRPC statuses, and back.

On the wire a failure is a google.rpc.Status in `grpc-status-details-bin`: first
an ErrorInfo whose reason is the failure's class name, then its typed detail.
"""

import grpc
from google.rpc import error_details_pb2, status_pb2

from novamesh.client import decode_failure
from novamesh.failures import (
    DOMAIN,
    FAILURES,
    DeadlineExceededError,
    Failure,
    InternalError,
    NotSupportedError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)

DETAILS_KEY = "grpc-status-details-bin"
# Tells gRPC's retry policy that the answer is the role's own word, not an accident on the way.
NO_RETRY = ("grpc-retry-pushback-ms", "-1")

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_SIGNS_OF_REFUSAL = ("socket closed", "ssl", "tls", "handshake", "certificate", "peer name")


def registered(failure: Failure) -> Failure:
    """`failure` itself, or as the nearest class that the wire knows."""
    if type(failure).__name__ in FAILURES:
        return failure
    for cls in type(failure).__mro__:
        if FAILURES.get(cls.__name__) is cls:
            return FAILURES[cls.__name__].from_detail(failure.message, failure.detail)
    return InternalError("", message="a failure that the contract doesn't know")


def status_of(failure: Failure) -> tuple[grpc.StatusCode, tuple[tuple[str, str | bytes], ...]]:
    """The status code and the trailing metadata that carry `failure`."""
    status = status_pb2.Status(code=failure.code, message=failure.message)
    info = error_details_pb2.ErrorInfo(reason=type(failure).__name__, domain=DOMAIN)
    status.details.add().Pack(info)
    status.details.add().Pack(failure.detail)
    return _CODES[failure.code], ((DETAILS_KEY, status.SerializeToString()), NO_RETRY)


def failure_of(error: grpc.aio.AioRpcError, method: str, part: str) -> Failure:
    """The failure that a call of `method` to `part` (for example `conductor`) came back with."""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            failure = decode_failure(value)
            if failure is not None:
                return failure
    return _from_code(error, method, part)


def _from_code(error: grpc.aio.AioRpcError, method: str, part: str) -> Failure:
    """What a status without our details means: gRPC itself said it, or a server that isn't ours."""
    code, text = error.code(), error.details() or ""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return UnavailableError(part, _why_unavailable(part, text))
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceededError(part, f"{part} did not answer {method} in time.")
        case grpc.StatusCode.CANCELLED:
            return UnavailableError(part, f"{part} ended the call before answering {method}.")
        case grpc.StatusCode.UNIMPLEMENTED:
            return NotSupportedError(method, f"{part} does not serve {method}.")
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return ResourceExhaustedError("message", f"{part} refused {method}: {text}")
        case grpc.StatusCode.PERMISSION_DENIED:
            return PermissionDeniedError(method, f"{part} refused {method}: {text}")
        case grpc.StatusCode.UNAUTHENTICATED:
            return UnauthenticatedError(f"{part} refused {method}: {text}")
        case _:
            return InternalError(method, message=f"{part} failed {method}: {code.name} {text}".rstrip())


def _why_unavailable(part: str, text: str) -> str:
    lowered = text.lower()
    if "refused" in lowered and "connect" in lowered:
        return f"{part} is not running, or not at the address that is configured: {text}"
    if "hostname verification" in lowered:
        return (
            f"What answers is not {part}: it belongs to this cloud, but its certificate is for another role "
            f"or host than the one dialled: {text}"
        )
    if any(sign in lowered for sign in _SIGNS_OF_REFUSAL):
        return (
            f"{part} and this process did not accept each other's certificates, or {part} stopped in the "
            f"middle. Most likely one certificate has ended or comes from another cloud's CA: {text}"
        )
    return f"{part} can't be reached: {text}"

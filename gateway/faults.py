"""How a failure looks over HTTP: `{"itemNotFound": {"code": 404, "message": ...}}`."""

from collections.abc import Mapping

import orjson

from novamesh.failures import (
    AlreadyExistsError,
    DeadlineExceededError,
    Failure,
    GenerationConflictError,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    NotSupportedError,
    PermissionDeniedError,
    QuotaExceededError,
    ResourceExhaustedError,
    StateConflictError,
    UnauthenticatedError,
    UnavailableError,
)

# The name of a fault is its status's, as the Compute API has had it since 1.0.
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}

UNEXPECTED = (
    "Unexpected API Error. The request id is in the answer's headers; "
    "the log of the gateway has the rest under that id."
)

_STATUSES: dict[type[Failure], int] = {
    NotFoundError: 404,
    AlreadyExistsError: 409,
    InvalidArgumentError: 400,
    StateConflictError: 409,
    GenerationConflictError: 409,
    QuotaExceededError: 403,
    PermissionDeniedError: 403,
    UnauthenticatedError: 401,
    UnavailableError: 503,
    DeadlineExceededError: 503,
    ResourceExhaustedError: 403,
    ImageUnacceptableError: 400,
    NotSupportedError: 501,
}


class HttpError(Exception):
    """A request that ends here, with the status and the sentence that the user gets."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        # Headers may bring what is no character, and a sentence may repeat it.
        self.message = message if message.isascii() else message.encode(errors="replace").decode()
        self.headers = dict(headers or {})


def from_failure(failure: Failure) -> HttpError:
    """The HTTP face of a failure. One that tells users nothing becomes a 500 without its text."""
    status = _STATUSES.get(type(failure), 500)
    if isinstance(failure, PermissionDeniedError) and _is_of_the_mesh(failure):
        # The gateway itself was refused: that is the operator's business, not the user's.
        status = 500
    if status == 500:
        return HttpError(500, UNEXPECTED)
    message = failure.message
    headers: dict[str, str] = {}
    if isinstance(failure, StateConflictError):
        message = _with_allowed_states(failure)
    elif isinstance(failure, QuotaExceededError):
        # Room may come at any moment: whoever waits for it may ask again at once.
        headers["Retry-After"] = "0"
    elif isinstance(failure, UnavailableError):
        detail = failure.detail
        message = _without_addresses(failure)
        if isinstance(detail, UnavailableError.detail_type) and detail.HasField("retry_after"):
            headers["Retry-After"] = str(max(1, detail.retry_after.seconds))
    return HttpError(status, message, headers)


def _is_of_the_mesh(failure: PermissionDeniedError) -> bool:
    return str(getattr(failure.detail, "rule", "")).startswith("/")


def _without_addresses(failure: UnavailableError) -> str:
    """What is away, and not where it is: the sentence for operators names hosts, ports and files."""
    # `compute at 10.0.0.7:9004` and `compute/host1` are both compute.
    part = getattr(failure.detail, "part", "").partition(" ")[0].partition("/")[0]
    return f"The service is not available now ({part or 'unknown'} does not answer). Try again later."


def _with_allowed_states(failure: StateConflictError) -> str:
    """The sentence, with the states that would have allowed the request if it doesn't name them yet."""
    allowed = failure.allowed
    if not allowed or any(state in failure.message for state in allowed):
        return failure.message
    return f"{failure.message.rstrip('.')}. Allowed states: {', '.join(allowed)}."


def render(error: HttpError) -> bytes:
    """The JSON body of an error."""
    body: dict[str, object] = {"code": error.status, "message": error.message}
    if error.status in (413, 429) and "Retry-After" in error.headers:
        body["retryAfter"] = error.headers["Retry-After"]
    return orjson.dumps({_NAMES.get(error.status, "computeFault"): body})


def render_unauthorized() -> bytes:
    """The body of a 401, in the shape of keystonemiddleware."""
    return orjson.dumps(
        {
            "error": {
                "code": 401,
                "title": "Unauthorized",
                "message": "The request you have made requires authentication.",
            }
        }
    )

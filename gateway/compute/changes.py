"""changes-since and changes-before: lists of what has changed in a time."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.compute.views import times
from gateway.faults import HttpError

SINCE = "changes-since"
BEFORE = "changes-before"


def between(given: Mapping[str, str]) -> tuple[Timestamp | None, Timestamp | None]:
    """Both ends, of values by name; None for one that is not given. Raises HttpError 400."""
    first = since(given[SINCE]) if SINCE in given else None
    last = _time(BEFORE, given[BEFORE]) if BEFORE in given else None
    if first and last and (last.seconds, last.nanos) < (first.seconds, first.nanos):
        raise HttpError(400, "The value of changes-since must be less than or equal to changes-before.")
    return first, last


def since(text: str) -> Timestamp:
    """changes-since alone. Raises HttpError 400."""
    return _time(SINCE, text)


def _time(name: str, text: str) -> Timestamp:
    try:
        return times.parse(text)
    except ValueError:
        raise HttpError(400, f"Invalid filter field: {name}.") from None

"""Times as the Compute API writes them."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

_EPOCH = datetime(1970, 1, 1)


def seconds(stamp: Timestamp) -> str:
    """`2013-09-03T04:01:32Z`."""
    return _second(stamp.seconds) + "Z"


def microseconds(stamp: Timestamp) -> str:
    """`2013-09-23T13:37:00.880302`."""
    return f"{_second(stamp.seconds)}.{stamp.nanos // 1000:06d}"


# Lists of servers are read again and again, and one server's times lie close together.
@lru_cache(maxsize=8192)
def _second(since_epoch: int) -> str:
    return (_EPOCH + timedelta(seconds=since_epoch)).isoformat()


def parse(text: str) -> Timestamp:
    """A time from a query string; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    stamp = Timestamp()
    try:
        stamp.FromDatetime(moment)
    except OverflowError as error:
        # In its own zone it lies in the years 1 to 9999, in UTC it doesn't.
        raise ValueError(str(error)) from None
    return stamp

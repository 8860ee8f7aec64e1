"""JSON bodies, for every API: what can be parsed, walked and stored."""

from typing import Any

import orjson

# Brackets within brackets. No request needs ten; code that walks a body by recursion breaks at some hundreds.
MAX_DEPTH = 64
_NUL = b"\\u0000"


class MalformedBodyError(ValueError):
    """Not JSON, or JSON that nothing here can take. Its text says which, and repeats nothing of the body."""


def parse_json(data: bytes) -> Any:
    """The parsed body. Raises MalformedBodyError."""
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise MalformedBodyError("it is not JSON.") from None
    # Looked at closely only where the bytes make it possible that something is wrong.
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH or _NUL in data:
        _check(body)
    return body


def _check(body: object) -> None:
    level = [body]
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for value in level:
            if isinstance(value, str):
                # Not every database can hold it.
                if "\0" in value:
                    raise MalformedBodyError("a text has a NUL character.")
            elif isinstance(value, dict):
                below += value.keys()
                below += value.values()
            elif isinstance(value, list):
                below += value
        if not below:
            return
        level = below
    raise MalformedBodyError(f"it is nested deeper than {MAX_DEPTH} levels.")

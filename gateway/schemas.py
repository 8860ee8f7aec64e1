"""JSON Schemas of requests, compiled once when the gateway starts.

A route has one row for each microversion from which its request looks different;
`compile_rows` turns them into a tuple indexed by the minor version, so that a request
pays for one index and the validation itself (well under a microsecond).
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Any

import jsonschema_rs
import orjson

from gateway.faults import HttpError

Schema = dict[str, Any]
# (first minor version, schema); each row holds until the next one begins. None: no such body.
Rows = Sequence[tuple[int, Schema]]
Validators = tuple[jsonschema_rs.Draft7Validator | None, ...]

_UUID = re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*")
# A value longer than this is cut in the sentence that refuses it.
_SHOWN = 160


def _is_uuid(value: str) -> bool:
    return _UUID.fullmatch(value) is not None


def _is_base64(value: str) -> bool:
    if _BASE64.fullmatch(value) is None:
        return False
    return len("".join(value.split())) % 4 == 0


def _is_cidr(value: str) -> bool:
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return False
    return "/" in value


def _is_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _is_regex(value: str) -> bool:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


FORMATS = {
    "uuid": _is_uuid,
    "base64": _is_base64,
    "cidr": _is_cidr,
    "ip-address": _is_address,
    "regex": _is_regex,
    "date-time": _is_time,
}

# What people are told instead of a pattern.
_PATTERN_WORDS: dict[str, str] = {}


def worded_pattern(pattern: str, words: str) -> Schema:
    """A `pattern` keyword whose refusal reads `words` instead of the pattern itself."""
    _PATTERN_WORDS[pattern] = words
    return {"pattern": pattern}


def compile_rows(rows: Rows, maximum: int) -> Validators:
    """Validators by minor version, 0 to `maximum`; None below the first row."""
    if any(later <= earlier for (earlier, _), (later, _) in pairwise(rows)):
        raise ValueError("schema rows must be in the order of their versions")
    by_minor: list[jsonschema_rs.Draft7Validator | None] = [None] * (maximum + 1)
    for first, schema in rows:
        by_minor[first:] = [_compiled(orjson.dumps(schema))] * (maximum + 1 - first)
    return tuple(by_minor)


@lru_cache(maxsize=4096)
def _compiled(schema: bytes) -> jsonschema_rs.Draft7Validator:
    """A validator for a schema's JSON: many routes have the same one, and compiling is dear."""
    return jsonschema_rs.Draft7Validator(orjson.loads(schema), validate_formats=True, formats=FORMATS)


def check_body(validator: jsonschema_rs.Draft7Validator, body: object) -> None:
    """Raise HttpError 400 that names the first field that is wrong."""
    try:
        validator.validate(body)
    except jsonschema_rs.ValidationError as error:
        raise HttpError(400, _sentence(error, "field/attribute", last=True)) from None


def check_query(validator: jsonschema_rs.Draft7Validator, query: Mapping[str, list[str]]) -> None:
    """The same for a query string, given as lists of values by name."""
    try:
        validator.validate(query)
    except jsonschema_rs.ValidationError as error:
        raise HttpError(400, _sentence(error, "query parameters", last=False)) from None


def _sentence(error: jsonschema_rs.ValidationError, what: str, *, last: bool) -> str:
    path = list(error.instance_path)
    message = error.message
    kind = error.kind
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Pattern):
        words = _PATTERN_WORDS.get(kind.pattern)
        if words is not None:
            message = f"{_cut(error.instance)!r} does not match: {words}"
    elif len(message) > 4 * _SHOWN:
        message = message[: 4 * _SHOWN] + "..."
    if not path:
        return message
    field = path[-1] if last else path[0]
    if isinstance(field, int) and last:
        # An index says little: name the list too.
        named = [str(step) for step in path if isinstance(step, str)]
        field = f"{named[-1]}[{field}]" if named else field
    return f"Invalid input for {what} {field}. Value: {_cut(error.instance)}. {message}"


def _cut(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."

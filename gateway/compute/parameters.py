"""Pieces of JSON Schema that requests of the Compute API are made of."""

from base64 import b64decode
from ipaddress import ip_address
from typing import Any

from gateway.faults import HttpError
from gateway.schemas import Schema, worded_pattern

_PRINTABLE = r"^$|^[^\p{C}\p{Z}]([^\p{C}\p{Zl}\p{Zp}]*[^\p{C}\p{Z}])?$"
_PRINTABLE_TEXT = r"^[^\p{Cc}\p{Cs}\p{Zl}\p{Zp}]*$"
_PRINTABLE_NO_COLON = r"^$|^[^\p{C}\p{Z}:]([^\p{C}\p{Zl}\p{Zp}:]*[^\p{C}\p{Z}:])?$"

NAME: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    **worded_pattern(_PRINTABLE, "printable characters. Can not start or end with whitespace."),
}
ZONE: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
}
ZONE_NAME: Schema = {
    **ZONE,
    **worded_pattern(
        _PRINTABLE_NO_COLON, "printable characters except :. Can not start or end with whitespace."
    ),
}
DESCRIPTION: Schema = {
    "type": ["string", "null"],
    "maxLength": 255,
    **worded_pattern(_PRINTABLE_TEXT, "printable characters."),
}
LONG_DESCRIPTION: Schema = {**DESCRIPTION, "maxLength": 65535}
# fmt: off
BOOLEAN: Schema = {
    "type": ["boolean", "string"],
    "enum": [True, "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
             False, "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"],
}
# fmt: on
_TRUE = frozenset({"true", "1", "on", "yes", "t", "y"})
_FALSE = frozenset({"false", "0", "off", "no", "f", "n"})
# Numbers may come as text. The database's integers end at 2147483647.
POSITIVE: Schema = {
    "type": ["integer", "string"],
    "minimum": 1,
    "maximum": 2147483647,
    **worded_pattern("^0*[1-9][0-9]{0,8}$", "a positive number."),
}
NON_NEGATIVE: Schema = {
    "type": ["integer", "string"],
    "minimum": 0,
    "maximum": 2147483647,
    **worded_pattern("^[0-9]{1,9}$", "a number, 0 or more."),
}
QUOTA: Schema = {
    "type": ["integer", "string"],
    "minimum": -1,
    "maximum": 2147483647,
    **worded_pattern("^(-1|[0-9]{1,9})$", "a number, -1 or more."),
}
UUID: Schema = {"type": "string", "format": "uuid"}
UUID_OR_EMPTY: Schema = {"type": "string", "pattern": "^$|^[0-9a-fA-F-]{32,36}$"}
HOST: Schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-zA-Z0-9._-]*$"}
HOSTNAME: Schema = {
    "type": "string",
    "minLength": 2,
    "maxLength": 63,
    "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$",
}
FULL_HOSTNAME: Schema = {
    "type": "string",
    "minLength": 2,
    "maxLength": 255,
    "pattern": "^[a-zA-Z0-9]+[a-zA-Z0-9-.]*[a-zA-Z0-9]+$",
}
METADATA: Schema = {
    "type": "object",
    "patternProperties": {"^[a-zA-Z0-9-_:. ]{1,255}$": {"type": "string", "maxLength": 255}},
    "additionalProperties": False,
}
TAG: Schema = {"type": "string", "minLength": 1, "maxLength": 60, "pattern": "^[^,/]*$"}
ADDRESS: Schema = {"type": "string", "format": "ip-address"}
ACCESS_V4: Schema = {"anyOf": [{"type": "null"}, {"type": "string", "format": "ipv4"}]}
ACCESS_V6: Schema = {"anyOf": [{"type": "null"}, {"type": "string", "format": "ipv6"}]}
NOTHING: Schema = {"type": "null"}


def record(properties: dict[str, Any], required: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others."""
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        schema["required"] = list(required)
    return schema


def wrapped(noun: str, schema: Schema) -> Schema:
    """A body `{noun: ...}`."""
    return record({noun: schema}, (noun,))


def values(schema: Schema) -> Schema:
    """A query parameter that may be given several times."""
    return {"type": "array", "items": schema}


def one(schema: Schema) -> Schema:
    """A query parameter that may be given once."""
    return {"type": "array", "items": schema, "maxItems": 1}


ANY_TEXT: Schema = values({"type": "string"})
# As long as what it is compared with: matching may cost the product of the two.
REGEX: Schema = values({"type": "string", "format": "regex", "maxLength": 255})
LIMIT: Schema = values({"type": "string", **worded_pattern("^[0-9]{1,9}$", "a number, 0 or more.")})
PAGING: dict[str, Schema] = {"limit": LIMIT, "marker": ANY_TEXT}


def query(properties: dict[str, Schema], *, strict: bool = False) -> Schema:
    """A query string. Unknown parameters pass unless `strict`."""
    return {"type": "object", "properties": properties, "additionalProperties": not strict}


def address(text: str | None) -> str:
    """What ACCESS_V4 or ACCESS_V6 let through, as RFC 5952 writes it; empty for none."""
    return str(ip_address(text)) if text else ""


def user_data(text: str | None) -> bytes:
    """What a base64 text holds. Raises HttpError 400."""
    try:
        return b64decode(text) if text else b""
    except ValueError:
        raise HttpError(
            400, "Invalid input for field/attribute user_data. Userdata must be base64 encoded."
        ) from None


def as_bool(value: object) -> bool:
    """What BOOLEAN let through, as a bool."""
    return value if isinstance(value, bool) else str(value).strip().lower() in _TRUE


def parse_bool(text: str) -> bool | None:
    """True or False for the words that stand for them, None for anything else."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None

"""Bodies as clients from before microversions send them: with unknown fields, and spaces around names."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from gateway.compute import parameters as p
from gateway.schemas import Schema

# Patterns of what may have spaces around it.
_TRIMMED = (p.NAME["pattern"], p.ZONE_NAME["pattern"])


def relax(schema: Schema, body: Any) -> Any:
    """The body without what its schema has no place for, and with names trimmed.

    Alternatives (`anyOf`, `oneOf`) are left alone: which is meant shows only in what this would remove.
    """
    if isinstance(body, dict):
        return _relax_object(schema, body)
    if isinstance(body, list):
        items = schema.get("items")
        return [relax(items, value) for value in body] if isinstance(items, dict) else body
    if isinstance(body, str) and schema.get("pattern") in _TRIMMED:
        return body.strip()
    return body


def _relax_object(schema: Schema, body: Mapping[str, Any]) -> dict[str, Any]:
    properties: Mapping[str, Schema] = schema.get("properties", {})
    patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
    closed = schema.get("additionalProperties") is False
    relaxed = {}
    for name, value in body.items():
        if name in properties:
            relaxed[name] = relax(properties[name], value)
        elif not closed or any(_compiled(pattern).search(name) for pattern in patterns):
            relaxed[name] = value
    return relaxed


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)

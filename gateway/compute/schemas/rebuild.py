"""Bodies of the action rebuild."""

from typing import Any

from gateway.compute import parameters as p
from gateway.compute.schemas.servers import CERTIFICATES, DISK_CONFIG, PERSONALITY, USER_DATA
from gateway.schemas import Schema

_FIRST: dict[str, Any] = {
    "name": p.NAME,
    "imageRef": p.UUID,
    "adminPass": {"type": "string"},
    "metadata": p.METADATA,
    "preserve_ephemeral": p.BOOLEAN,
    "OS-DCF:diskConfig": DISK_CONFIG,
    "accessIPv4": p.ACCESS_V4,
    "accessIPv6": p.ACCESS_V6,
    "personality": PERSONALITY,
}
# (first minor version, fields that are new or different, fields that go)
_CHANGES: tuple[tuple[int, dict[str, Any], tuple[str, ...]], ...] = (
    (1, _FIRST, ()),
    (19, {"description": p.DESCRIPTION}, ()),
    (54, {"key_name": {"anyOf": [{"type": "null"}, p.NAME]}}, ()),
    (57, {"user_data": {"anyOf": [{"type": "null"}, USER_DATA]}}, ("personality",)),
    (63, {"trusted_image_certificates": CERTIFICATES}, ()),
    (90, {"hostname": p.HOSTNAME}, ()),
    (94, {"hostname": p.FULL_HOSTNAME}, ()),
)


def _rows() -> tuple[tuple[int, Schema], ...]:
    rows = []
    fields: dict[str, Any] = {}
    for first, changed, gone in _CHANGES:
        fields = {name: schema for name, schema in {**fields, **changed}.items() if name not in gone}
        rows.append((first, p.wrapped("rebuild", p.record(fields, ("imageRef",)))))
    return tuple(rows)


REBUILD = _rows()

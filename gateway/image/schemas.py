"""JSON Schemas of the Image API, which it also serves to clients under /v2/schemas."""

from typing import Any

import jsonschema_rs

from gateway.faults import HttpError

Schema = dict[str, Any]

_UUID = "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"
_DISK_FORMATS = ["ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop"]
_CONTAINER_FORMATS = ["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"]
_INT32_MAX = 2147483647


def _field(kind: str | list[str], description: str, **more: Any) -> Schema:
    return {"type": kind, "description": description, **more}


def _read_only(kind: str | list[str], description: str, **more: Any) -> Schema:
    return _field(kind, description, readOnly=True, **more)


_TEXT = ["null", "string"]
IMAGE_PROPERTIES: dict[str, Schema] = {
    "id": _field("string", "An identifier for the image", pattern=_UUID),
    "name": _field(_TEXT, "Descriptive name for the image", maxLength=255),
    "status": _read_only(
        "string",
        "Status of the image",
        enum=["queued", "saving", "active", "killed", "deleted", "deactivated"],
    ),
    "visibility": _field(
        "string", "Scope of image accessibility", enum=["community", "public", "private", "shared"]
    ),
    "protected": _field("boolean", "If true, image will not be deletable."),
    "os_hidden": _field("boolean", "If true, image will not appear in default image list response."),
    "checksum": _read_only(_TEXT, "MD5 hash of image contents.", maxLength=32),
    "os_hash_algo": _read_only(_TEXT, "Algorithm to calculate the os_hash_value", maxLength=64),
    "os_hash_value": _read_only(
        _TEXT,
        "Hexdigest of the image contents using the algorithm specified by the os_hash_algo",
        maxLength=128,
    ),
    "owner": _field(_TEXT, "Owner of the image", maxLength=255),
    "size": _read_only(["null", "integer"], "Size of image file in bytes"),
    "virtual_size": _read_only(["null", "integer"], "Virtual size of image in bytes"),
    "container_format": _field(_TEXT, "Format of the container", enum=[None, *_CONTAINER_FORMATS]),
    "disk_format": _field(_TEXT, "Format of the disk", enum=[None, *_DISK_FORMATS]),
    "created_at": _read_only("string", "Date and time of image registration"),
    "updated_at": _read_only("string", "Date and time of the last image modification"),
    "tags": _field(
        "array", "List of strings related to the image", items={"type": "string", "maxLength": 255}
    ),
    "min_ram": _field(
        "integer", "Amount of ram (in MB) required to boot image.", minimum=0, maximum=_INT32_MAX
    ),
    "min_disk": _field(
        "integer", "Amount of disk space (in GB) required to boot image.", minimum=0, maximum=_INT32_MAX
    ),
    "self": _read_only("string", "An image self url"),
    "file": _read_only("string", "An image file url"),
    "schema": _read_only("string", "An image schema url"),
}
READ_ONLY = frozenset(name for name, schema in IMAGE_PROPERTIES.items() if schema.get("readOnly"))

IMAGE: Schema = {
    "name": "image",
    "properties": IMAGE_PROPERTIES,
    # Everything else is a property of the user's own.
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
MEMBER: Schema = {
    "name": "member",
    "properties": {
        "member_id": _field("string", "An identifier for the image member (tenantId)"),
        "image_id": _field("string", "An identifier for the image", pattern=_UUID),
        "created_at": _field("string", "Date and time of image member creation"),
        "updated_at": _field("string", "Date and time of last modification of image member"),
        "status": _field(
            "string", "The status of this image member", enum=["pending", "accepted", "rejected"]
        ),
        "schema": _read_only("string", "The schema of an image member"),
    },
}


def _collection(name: str, item: Schema) -> Schema:
    return {
        "name": name,
        "properties": {
            name: {"type": "array", "items": item},
            "first": {"type": "string"},
            "next": {"type": "string"},
            "schema": {"type": "string"},
        },
        "links": [
            {"rel": "first", "href": "{first}"},
            {"rel": "next", "href": "{next}"},
            {"rel": "describedby", "href": "{schema}"},
        ],
    }


DOCUMENTS: dict[str, Schema] = {
    "image": IMAGE,
    "images": _collection("images", IMAGE),
    "member": MEMBER,
    "members": _collection("members", MEMBER),
}

_BODY = jsonschema_rs.Draft7Validator(
    {
        "type": "object",
        "properties": IMAGE_PROPERTIES,
        "additionalProperties": {"type": "string"},
    }
)


def check_image(body: object) -> None:
    """Raise HttpError 400 that names the field, unless this is (part of) an image."""
    error = next(_BODY.iter_errors(body), None)
    if error is not None:
        where = "/".join(str(step) for step in error.instance_path)
        named = f"{where}: " if where else ""
        raise HttpError(400, f"Provided object does not match schema 'image': {named}{error.message}")

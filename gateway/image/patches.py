"""PATCH of an image: JSON patch documents of the Image API, old and new.

`application/openstack-images-v2.1-json-patch` is RFC 6902's add, replace and
remove with a path of one step; v2.0 is draft 4, where the operation is the key.
"""

import re
from dataclasses import dataclass
from typing import Any

from gateway.faults import HttpError
from gateway.image.schemas import IMAGE_PROPERTIES, READ_ONLY, check_image
from gateway.image.views import VISIBILITIES
from novamesh.types.v1.image_pb2 import Image

CONTENT_TYPES = {
    "application/openstack-images-v2.0-json-patch": 4,
    "application/openstack-images-v2.1-json-patch": 10,
}
_OPERATIONS = ("add", "remove", "replace")
_RESERVED = frozenset({"location", "deleted", "deleted_at"})
# What the API calls fields of Image that have another name in the contract.
_FIELDS = {"min_ram": "min_ram_mb", "min_disk": "min_disk_gb", "os_hidden": "hidden"}


@dataclass(frozen=True)
class Step:
    """One operation on one field or property."""

    operation: str
    name: str
    value: Any
    draft: int


def parse_patch(content_type: str, body: object) -> list[Step]:
    """The steps of a patch document. HttpError 400, 403 for fields that are the service's own, 415."""
    draft = CONTENT_TYPES.get(content_type)
    if draft is None:
        accepted = ", ".join(CONTENT_TYPES)
        raise HttpError(
            415, f"Image PATCH expects Content-Type one of: {accepted}", headers={"Accept-Patch": accepted}
        )
    if not isinstance(body, list):
        raise HttpError(400, "Request body must be a JSON array of operation objects.")
    return [_step(raw, draft) for raw in body]


def apply_patch(image: Image, steps: list[Step]) -> tuple[Image, list[str]]:
    """The image after the steps, and the fields of Image that changed. HttpError 403, 409."""
    new = Image()
    new.CopyFrom(image)
    paths: dict[str, None] = {}
    for step in steps:
        if step.name in IMAGE_PROPERTIES:
            if step.operation == "remove":
                raise HttpError(403, f"Property {step.name} may not be removed.")
            if step.operation == "add" and step.draft == 4:
                raise HttpError(409, f"Property {step.name} already present.")
            field = _FIELDS.get(step.name, step.name)
            set_field(new, field, step.value)
            paths[field] = None
        else:
            _apply_property(new, step)
            paths["properties"] = None
    return new, list(paths)


def set_field(image: Image, field: str, value: Any) -> None:
    """Write a JSON value that a schema has checked into a field of Image; null is the empty value."""
    if field == "visibility":
        image.visibility = VISIBILITIES[value]
    elif field == "tags":
        image.tags[:] = sorted(set(value))
    elif value is None:
        image.ClearField(field)  # type: ignore[arg-type]
    else:
        setattr(image, field, value)


def from_body(body: dict[str, Any]) -> Image:
    """An image from the body of POST /v2/images. HttpError 400, 403."""
    check_image(body)
    image = Image()
    for name, value in body.items():
        if name in READ_ONLY:
            raise HttpError(403, f"Attribute '{name}' is read-only.")
        if name in IMAGE_PROPERTIES:
            set_field(image, _FIELDS.get(name, name), value)
        elif name in _RESERVED:
            raise HttpError(403, f"Attribute '{name}' is reserved.")
        else:
            image.properties[name] = value
    return image


def _apply_property(image: Image, step: Step) -> None:
    present = step.name in image.properties
    if step.operation in ("replace", "remove") and not present:
        raise HttpError(409, f"Property {step.name} does not exist.")
    if step.operation == "add" and step.draft == 4 and present:
        raise HttpError(409, f"Property {step.name} already present.")
    if step.operation == "remove":
        del image.properties[step.name]
    else:
        image.properties[step.name] = step.value


def _step(raw: object, draft: int) -> Step:
    if not isinstance(raw, dict):
        raise HttpError(400, "Operations must be JSON objects.")
    operation, pointer = _operation(raw, draft)
    name = _name(pointer)
    if name in READ_ONLY or name == "id":
        raise HttpError(403, f"Attribute '{name}' is read-only.")
    if name in _RESERVED:
        raise HttpError(403, f"Attribute '{name}' is reserved.")
    if operation == "remove":
        return Step(operation, name, None, draft)
    if "value" not in raw:
        raise HttpError(400, f'Operation "{operation}" requires a member named "value".')
    check_image({name: raw["value"]})
    return Step(operation, name, raw["value"], draft)


def _operation(raw: dict[str, Any], draft: int) -> tuple[str, str]:
    if draft == 10:
        operation, pointer = raw.get("op"), raw.get("path")
        if operation not in _OPERATIONS:
            known = ", ".join(_OPERATIONS)
            raise HttpError(
                400, f"Invalid operation: `{operation}`. It must be one of the following: {known}."
            )
        if pointer is None:
            raise HttpError(400, "Unable to find 'path' in JSON Schema change")
    else:
        found = [name for name in _OPERATIONS if name in raw]
        if len(found) != 1:
            raise HttpError(
                400, 'Operation objects must contain exactly one member named "add", "remove", or "replace".'
            )
        operation, pointer = found[0], raw[found[0]]
    if not isinstance(pointer, str):
        raise HttpError(400, f"Pointer `{pointer}` is not a string.")
    return operation, pointer


def _name(pointer: str) -> str:
    """The one step of a JSON pointer (RFC 6901)."""
    if not pointer.startswith("/"):
        raise HttpError(400, f'Pointer `{pointer}` does not start with "/".')
    step = pointer[1:]
    if "/" in step or not step.strip():
        raise HttpError(400, f"Invalid JSON pointer for this resource: '{pointer}'")
    if re.search(r"~(?![01])", step):
        raise HttpError(400, f'Pointer `{pointer}` contains "~" not part of a recognized escape sequence.')
    return step.replace("~1", "/").replace("~0", "~").strip()

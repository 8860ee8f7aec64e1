"""What an image's record may hold."""

import uuid
from collections.abc import Iterable

from novamesh.failures import InvalidArgumentError, PermissionDeniedError, ResourceExhaustedError
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_QUEUED, Image, ImageVisibility
from services.image.options import ImageOptions

_LONGEST = 255
_LONGEST_VALUE = 65535
_RESERVED_PROPERTIES = frozenset(
    {"location", "locations", "deleted", "deleted_at", "direct_url", "self", "file"}
)
_RESERVED_PREFIX = "os_glance"
# What an owner may change; the other fields of Image are the service's own.
CHANGEABLE = frozenset(
    {
        "name",
        "visibility",
        "owner",
        "disk_format",
        "container_format",
        "min_disk_gb",
        "min_ram_mb",
        "protected",
        "hidden",
        "tags",
        "properties",
    }
)
_WHILE_QUEUED = frozenset({"disk_format", "container_format"})
_INT32_MAX = (1 << 31) - 1


def check_id(image_id: str) -> None:
    """Raise InvalidArgumentError unless it is a UUID in the usual form."""
    try:
        good = str(uuid.UUID(image_id)) == image_id.lower()
    except ValueError:
        good = False
    if not good:
        raise InvalidArgumentError("id", f"{image_id!r} is not a UUID.")


def check_fields(image: Image, paths: Iterable[str], options: ImageOptions) -> None:
    """Raise InvalidArgumentError or ResourceExhaustedError when one of these fields can't be accepted."""
    for path in paths:
        if path in ("name", "owner"):
            _check_length(path, getattr(image, path))
        elif path == "visibility":
            if image.visibility not in ImageVisibility.values():
                raise InvalidArgumentError("visibility", f"Visibility {image.visibility} is not known.")
        elif path == "disk_format":
            _check_format(path, image.disk_format, options.disk_formats)
        elif path == "container_format":
            _check_format(path, image.container_format, options.container_formats)
        elif path in ("min_disk_gb", "min_ram_mb"):
            if not 0 <= getattr(image, path) <= _INT32_MAX:
                raise InvalidArgumentError(path, f"{path} must be between 0 and {_INT32_MAX}.")
        elif path == "tags":
            _check_tags(image, options)
        elif path == "properties":
            _check_properties(image, options)


def check_paths(paths: Iterable[str], image: Image, *, may_give_away: bool) -> None:
    """Raise unless these fields of this image can be changed now."""
    for path in paths:
        if path not in CHANGEABLE:
            raise InvalidArgumentError("update_mask", f"{path} can't be changed.")
        if path in _WHILE_QUEUED and image.status != IMAGE_STATUS_QUEUED:
            raise PermissionDeniedError(
                "modify_image", f"Attribute {path} can be only replaced for a queued image."
            )
        if path == "owner" and not may_give_away:
            raise PermissionDeniedError("modify_image", "Owner can't be updated by non admin.")


def _check_length(field: str, value: str) -> None:
    _check_characters(field, value)
    if len(value) > _LONGEST:
        raise InvalidArgumentError(field, f"{field} must have {_LONGEST} characters at most.")


def _check_characters(field: str, value: str) -> None:
    if "\0" in value:
        raise InvalidArgumentError(field, f"{field} must not hold the character NUL.")


def _check_format(field: str, value: str, known: tuple[str, ...]) -> None:
    if value and value not in known:
        raise InvalidArgumentError(field, f"{field} {value!r} is not one of {', '.join(known)}.")


def _check_tags(image: Image, options: ImageOptions) -> None:
    for tag in image.tags:
        _check_length("tags", tag)
        if not tag:
            raise InvalidArgumentError("tags", "A tag must not be empty.")
    quota = options.image_tag_quota
    if 0 <= quota < len(set(image.tags)):
        raise ResourceExhaustedError("image_tags", f"An image may have {quota} tags at most.")


def _check_properties(image: Image, options: ImageOptions) -> None:
    quota = options.image_property_quota
    if 0 <= quota < len(image.properties):
        raise ResourceExhaustedError("image_properties", f"An image may have {quota} properties at most.")
    for name, value in image.properties.items():
        if not 0 < len(name) <= _LONGEST:
            raise InvalidArgumentError("properties", "A property's name must have 1 to 255 characters.")
        if name in _RESERVED_PROPERTIES or name.startswith(_RESERVED_PREFIX):
            raise PermissionDeniedError("modify_image", f"Attribute '{name}' is reserved.")
        _check_characters("properties", name + value)
        if len(value) > _LONGEST_VALUE:
            raise InvalidArgumentError(
                "properties", f"The value of {name} must have 65535 characters at most."
            )

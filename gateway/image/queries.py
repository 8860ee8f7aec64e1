"""The query string of GET /v2/images as an ImageQuery."""

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from multidict import MultiMapping

from gateway.faults import HttpError
from gateway.image.views import MEMBER_STATUSES, STATUSES, VISIBILITIES
from novamesh.types.v1.image_query_pb2 import (
    IMAGE_SORT_KEY_CONTAINER_FORMAT,
    IMAGE_SORT_KEY_CREATED_AT,
    IMAGE_SORT_KEY_DISK_FORMAT,
    IMAGE_SORT_KEY_ID,
    IMAGE_SORT_KEY_NAME,
    IMAGE_SORT_KEY_SIZE,
    IMAGE_SORT_KEY_STATUS,
    IMAGE_SORT_KEY_UPDATED_AT,
    TIME_OPERATOR_EQUAL,
    TIME_OPERATOR_GREATER,
    TIME_OPERATOR_GREATER_OR_EQUAL,
    TIME_OPERATOR_LESS,
    TIME_OPERATOR_LESS_OR_EQUAL,
    TIME_OPERATOR_NOT_EQUAL,
    ImageQuery,
    ImageSort,
    ImageSortKey,
    TimeCondition,
    TimeOperator,
)

T = TypeVar("T")

SORT_KEYS: dict[str, ImageSortKey.ValueType] = {
    "name": IMAGE_SORT_KEY_NAME,
    "status": IMAGE_SORT_KEY_STATUS,
    "container_format": IMAGE_SORT_KEY_CONTAINER_FORMAT,
    "disk_format": IMAGE_SORT_KEY_DISK_FORMAT,
    "size": IMAGE_SORT_KEY_SIZE,
    "id": IMAGE_SORT_KEY_ID,
    "created_at": IMAGE_SORT_KEY_CREATED_AT,
    "updated_at": IMAGE_SORT_KEY_UPDATED_AT,
}
_TIME_OPERATORS: dict[str, TimeOperator.ValueType] = {
    "eq": TIME_OPERATOR_EQUAL,
    "neq": TIME_OPERATOR_NOT_EQUAL,
    "gt": TIME_OPERATOR_GREATER,
    "gte": TIME_OPERATOR_GREATER_OR_EQUAL,
    "lt": TIME_OPERATOR_LESS,
    "lte": TIME_OPERATOR_LESS_OR_EQUAL,
}
_BOOLEANS = {"true": True, "false": False}
_PAGING = frozenset({"limit", "marker", "sort", "sort_key", "sort_dir"})


def parse_query(parameters: MultiMapping[str]) -> ImageQuery:
    """What the query string asks for; a name that isn't the API's own is a property. HttpError 400."""
    query = ImageQuery(hidden=False, sorts=_sorts(parameters))
    for name in dict.fromkeys(parameters):
        if name not in _PAGING:
            _apply(query, name, parameters.getall(name))
    return query


def parse_limit(parameters: MultiMapping[str]) -> int | None:
    """The page's size; None when not given. HttpError 400."""
    text = parameters.get("limit")
    if text is None:
        return None
    try:
        limit = int(text)
    except ValueError:
        raise HttpError(400, "limit param must be an integer") from None
    if limit < 0:
        raise HttpError(400, "limit param must be positive")
    return min(limit, 1 << 30)


def _apply(query: ImageQuery, name: str, values: list[str]) -> None:
    value = values[-1]
    match name:
        case "tag":
            query.tags.extend(v.strip() for v in values)
        case "name":
            query.names.extend(_alternatives(name, value))
        case "id":
            query.ids.extend(_alternatives(name, value))
        case "disk_format":
            query.disk_formats.extend(_alternatives(name, value))
        case "container_format":
            query.container_formats.extend(_alternatives(name, value))
        case "status":
            # A status that doesn't exist is one that no image has.
            words = _alternatives(name, value)
            query.statuses.extend(STATUSES.get(word, STATUSES["deleted"]) for word in words)
        case "visibility":
            if value == "all":
                query.all_visibilities = True
            else:
                query.visibility = _one_of(VISIBILITIES, value, "Invalid visibility value: %s")
        case "member_status":
            if value == "all":
                query.any_member_status = True
            else:
                query.member_status = _one_of(MEMBER_STATUSES, value, "Invalid status: %s")
        case "os_hidden":
            query.hidden = _boolean(name, value)
        case "protected":
            query.protected = _boolean(name, value)
        case "owner" | "checksum" | "os_hash_value":
            setattr(query, name, value)
        case "size_min" | "size_max":
            setattr(query, name, _integer(value))
        case "size":
            query.size_min = query.size_max = _integer(value)
        case "min_disk":
            query.min_disk_gb = _integer(value)
        case "min_ram":
            query.min_ram_mb = _integer(value)
        case "created_at":
            query.created_at.CopyFrom(_time(name, value))
        case "updated_at":
            query.updated_at.CopyFrom(_time(name, value))
        case "changes-since":
            raise HttpError(400, 'The "changes-since" filter is no longer available on v2.')
        case _:
            query.properties[name] = value


def _alternatives(name: str, value: str) -> list[str]:
    """`in:a,"b,c"` is two values, anything else one, `eq:` before it or not."""
    word, colon, rest = value.partition(":")
    if colon and word == "in":
        try:
            return [v for v in next(csv.reader([rest], skipinitialspace=True), []) if v] or [""]
        except csv.Error:
            raise HttpError(400, f"Invalid filter value for {name}: not a list of values.") from None
    if colon and word == "eq":
        return [rest]
    return [value]


def _one_of(known: Mapping[str, T], value: str, refusal: str) -> T:
    if value not in known:
        raise HttpError(400, refusal % value)
    return known[value]


def _boolean(name: str, value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise HttpError(
            400, f"Invalid value '{value}' for '{name}' filter. Valid values are 'true' or 'false'."
        )
    return found


def _integer(value: str) -> int:
    try:
        return max(min(int(value), (1 << 63) - 1), -(1 << 63))
    except ValueError:
        raise HttpError(400, "Unable to filter on a range with a non-numeric value.") from None


def _time(name: str, value: str) -> TimeCondition:
    word, colon, rest = value.partition(":")
    if not (colon and word in _TIME_OPERATORS):
        if word.isalpha():
            raise HttpError(400, f"Unable to filter by unknown operator '{word}'.")
        word, rest = "eq", value
    try:
        moment = datetime.fromisoformat(rest)
    except ValueError:
        raise HttpError(400, f'Bad "{name}" query filter format. Use ISO 8601 DateTime notation.') from None
    condition = TimeCondition(operator=_TIME_OPERATORS[word])
    try:
        condition.time.FromDatetime(moment.replace(tzinfo=moment.tzinfo or UTC))
    except OverflowError:
        raise HttpError(400, f'Bad "{name}" query filter format: outside the years 1 to 9999.') from None
    return condition


def _sorts(parameters: MultiMapping[str]) -> list[ImageSort]:
    if "sort" in parameters:
        if "sort_key" in parameters or "sort_dir" in parameters:
            raise HttpError(400, "Old and new sorting syntax cannot be combined")
        steps = [step.partition(":") for step in parameters["sort"].split(",")]
        return [_sort(key.strip(), direction.strip() or "desc") for key, _, direction in steps]
    keys = parameters.getall("sort_key", ["created_at"])
    directions = parameters.getall("sort_dir", ["desc"])
    if len(directions) == 1:
        directions = directions * len(keys)
    if len(directions) != len(keys):
        raise HttpError(400, "Number of sort dirs does not match the number of sort keys")
    return [_sort(key.strip(), direction.strip()) for key, direction in zip(keys, directions, strict=True)]


def _sort(key: str, direction: str) -> ImageSort:
    if key not in SORT_KEYS:
        raise HttpError(
            400, f"Invalid sort key: {key}. It must be one of the following: {', '.join(SORT_KEYS)}."
        )
    if direction not in ("asc", "desc"):
        raise HttpError(400, f"Invalid sort direction: {direction}")
    return ImageSort(key=SORT_KEYS[key], descending=direction == "desc")

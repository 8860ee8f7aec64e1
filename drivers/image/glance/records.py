"""Glance's JSON and our messages, each from the other."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_SAVING, Image, ImageStatus, ImageVisibility
from novamesh.types.v1.image_query_pb2 import (
    IMAGE_SORT_KEY_UNSPECIFIED,
    TIME_OPERATOR_EQUAL,
    TIME_OPERATOR_GREATER,
    TIME_OPERATOR_GREATER_OR_EQUAL,
    TIME_OPERATOR_LESS,
    TIME_OPERATOR_LESS_OR_EQUAL,
    TIME_OPERATOR_NOT_EQUAL,
    ImageQuery,
    ImageSortKey,
)

# Fields of Image and what Glance calls them.
NAMES = {
    "name": "name",
    "visibility": "visibility",
    "owner": "owner",
    "disk_format": "disk_format",
    "container_format": "container_format",
    "min_disk_gb": "min_disk",
    "min_ram_mb": "min_ram",
    "protected": "protected",
    "hidden": "os_hidden",
    "tags": "tags",
}
# What Glance shows beside its users' properties.
_ITS_OWN = frozenset(
    {
        *NAMES.values(),
        *("id", "status", "size", "virtual_size", "checksum", "os_hash_algo", "os_hash_value"),
        *("created_at", "updated_at", "self", "file", "schema", "locations", "direct_url", "stores"),
    }
)
_TIME_WORDS = {
    TIME_OPERATOR_EQUAL: "eq",
    TIME_OPERATOR_NOT_EQUAL: "neq",
    TIME_OPERATOR_GREATER: "gt",
    TIME_OPERATOR_GREATER_OR_EQUAL: "gte",
    TIME_OPERATOR_LESS: "lt",
    TIME_OPERATOR_LESS_OR_EQUAL: "lte",
}


def image_from(view: Mapping[str, Any]) -> Image:
    """An image as Glance shows it. Its generation is 0: Glance has none."""
    return Image(
        id=view["id"],
        name=view.get("name") or "",
        status=_status(view["status"]),
        visibility=ImageVisibility.Value(f"IMAGE_VISIBILITY_{view['visibility'].upper()}"),
        owner=view.get("owner") or "",
        disk_format=view.get("disk_format") or "",
        container_format=view.get("container_format") or "",
        size=view.get("size") or 0,
        virtual_size=view.get("virtual_size") or 0,
        checksum=view.get("checksum") or "",
        os_hash_algo=view.get("os_hash_algo") or "",
        os_hash_value=view.get("os_hash_value") or "",
        min_disk_gb=view.get("min_disk") or 0,
        min_ram_mb=view.get("min_ram") or 0,
        protected=bool(view.get("protected")),
        hidden=bool(view.get("os_hidden")),
        tags=sorted(view.get("tags") or ()),
        properties={k: v for k, v in view.items() if k not in _ITS_OWN and isinstance(v, str)},
        created_at=_time(view.get("created_at")),
        updated_at=_time(view.get("updated_at")),
    )


def body_of(image: Image) -> dict[str, Any]:
    """The body of POST /v2/images."""
    body: dict[str, Any] = dict(image.properties)
    body["id"] = image.id
    for field in NAMES:
        value = value_of(image, field)
        if value not in (None, [], 0, False):
            body[NAMES[field]] = value
    return body


def value_of(image: Image, field: str) -> Any:
    """A field of Image as Glance takes it."""
    if field == "visibility":
        return ImageVisibility.Name(image.visibility).rpartition("_")[2].lower()
    if field == "tags":
        return list(image.tags)
    value = getattr(image, field)
    return value if value != "" else None


def patch_of(current: Image, new: Image, paths: Iterable[str]) -> list[dict[str, Any]]:
    """The JSON patch that writes these fields of `new` over `current`."""
    steps: list[dict[str, Any]] = []
    for path in paths:
        if path == "properties":
            steps += _property_steps(current.properties, new.properties)
        else:
            steps.append({"op": "replace", "path": f"/{NAMES[path]}", "value": value_of(new, path)})
    return steps


def parameters_of(query: ImageQuery) -> dict[str, str]:
    """The query string of GET /v2/images, tags left out (a dictionary holds one of a name)."""
    parameters: dict[str, str] = {}
    for name, values in (
        ("name", query.names),
        ("id", query.ids),
        ("status", [ImageStatus.Name(s).rpartition("_")[2].lower() for s in query.statuses]),
        ("disk_format", query.disk_formats),
        ("container_format", query.container_formats),
    ):
        if values:
            parameters[name] = _alternatives(values)
    if query.visibility:
        parameters["visibility"] = ImageVisibility.Name(query.visibility).rpartition("_")[2].lower()
    elif query.all_visibilities:
        parameters["visibility"] = "all"
    given = {field.name: value for field, value in query.ListFields()}
    for field, name in (
        ("owner", "owner"),
        ("checksum", "checksum"),
        ("os_hash_value", "os_hash_value"),
        ("size_min", "size_min"),
        ("size_max", "size_max"),
        ("min_disk_gb", "min_disk"),
        ("min_ram_mb", "min_ram"),
    ):
        if field in given:
            parameters[name] = str(given[field])
    for field, name in (("hidden", "os_hidden"), ("protected", "protected")):
        if field in given:
            parameters[name] = "true" if given[field] else "false"
    for field in ("created_at", "updated_at"):
        if field in given:
            condition = given[field]
            word = _TIME_WORDS[condition.operator or TIME_OPERATOR_EQUAL]
            parameters[field] = f"{word}:{condition.time.ToDatetime().isoformat()}Z"
    parameters.update(query.properties)
    if query.sorts:
        parameters["sort"] = ",".join(
            f"{_sort_word(sort.key)}:{'desc' if sort.descending else 'asc'}" for sort in query.sorts
        )
    return parameters


def member_from(view: Mapping[str, Any]) -> ImageMember:
    """A member as Glance shows it."""
    return ImageMember(
        image_id=view["image_id"],
        project_id=view["member_id"],
        status=ImageMemberStatus.Value(f"IMAGE_MEMBER_STATUS_{view['status'].upper()}"),
        created_at=_time(view.get("created_at")),
        updated_at=_time(view.get("updated_at")),
    )


def _property_steps(current: Mapping[str, str], new: Mapping[str, str]) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = []
    for name, value in new.items():
        if current.get(name) != value:
            steps.append({"op": "add", "path": f"/{_pointer(name)}", "value": value})
    steps += [{"op": "remove", "path": f"/{_pointer(name)}"} for name in current if name not in new]
    return steps


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _alternatives(values: Sequence[str]) -> str:
    """One value is itself; several are a list, in quotes when they hold a comma."""
    if len(values) == 1 and ":" not in values[0]:
        return values[0]
    return "in:" + ",".join(f'"{v}"' if "," in v else v for v in values)


def _sort_word(key: ImageSortKey.ValueType) -> str:
    if key == IMAGE_SORT_KEY_UNSPECIFIED:
        return "created_at"
    return ImageSortKey.Name(key).removeprefix("IMAGE_SORT_KEY_").lower()


def _status(word: str) -> ImageStatus.ValueType:
    """Glance's states of its import are, to us, data on its way."""
    name = f"IMAGE_STATUS_{word.upper()}"
    if name in ImageStatus.keys():  # noqa: SIM118 - an enum wrapper isn't a dictionary
        return ImageStatus.Value(name)
    return IMAGE_STATUS_SAVING


def _time(text: str | None) -> Timestamp | None:
    if not text:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromisoformat(text))
    return stamp

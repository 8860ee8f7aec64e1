"""Lists of images as SQL: what a query and a viewer leave, in order, from a marker on."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, Select, and_, exists, or_, select

from db.schema.base import moment
from db.schema.images import image_members, image_properties, image_tags, images
from novamesh.types.v1.image_member_pb2 import ImageMemberStatus
from novamesh.types.v1.image_pb2 import ImageStatus, ImageVisibility
from novamesh.types.v1.image_query_pb2 import (
    IMAGE_SORT_KEY_CONTAINER_FORMAT,
    IMAGE_SORT_KEY_CREATED_AT,
    IMAGE_SORT_KEY_DISK_FORMAT,
    IMAGE_SORT_KEY_ID,
    IMAGE_SORT_KEY_NAME,
    IMAGE_SORT_KEY_SIZE,
    IMAGE_SORT_KEY_STATUS,
    IMAGE_SORT_KEY_UNSPECIFIED,
    IMAGE_SORT_KEY_UPDATED_AT,
    TIME_OPERATOR_EQUAL,
    TIME_OPERATOR_GREATER,
    TIME_OPERATOR_GREATER_OR_EQUAL,
    TIME_OPERATOR_LESS,
    TIME_OPERATOR_LESS_OR_EQUAL,
    TIME_OPERATOR_NOT_EQUAL,
    ImageQuery,
    ImageSort,
    TimeCondition,
)

_SORT_COLUMNS = {
    IMAGE_SORT_KEY_UNSPECIFIED: images.c.created_at,
    IMAGE_SORT_KEY_CREATED_AT: images.c.created_at,
    IMAGE_SORT_KEY_UPDATED_AT: images.c.updated_at,
    IMAGE_SORT_KEY_NAME: images.c.name,
    IMAGE_SORT_KEY_STATUS: images.c.status,
    IMAGE_SORT_KEY_CONTAINER_FORMAT: images.c.container_format,
    IMAGE_SORT_KEY_DISK_FORMAT: images.c.disk_format,
    IMAGE_SORT_KEY_SIZE: images.c.size,
    IMAGE_SORT_KEY_ID: images.c.id,
}
_TIME_OPERATORS: dict[int, Callable[[Any, Any], Any]] = {
    TIME_OPERATOR_EQUAL: operator.eq,
    TIME_OPERATOR_NOT_EQUAL: operator.ne,
    TIME_OPERATOR_GREATER: operator.gt,
    TIME_OPERATOR_GREATER_OR_EQUAL: operator.ge,
    TIME_OPERATOR_LESS: operator.lt,
    TIME_OPERATOR_LESS_OR_EQUAL: operator.le,
}
_NEWEST_FIRST = ImageSort(key=IMAGE_SORT_KEY_CREATED_AT, descending=True)

Condition = ColumnElement[bool]


@dataclass(frozen=True)
class ImagePage:
    """A page of a list as a viewer sees it; `page_size` 0 is everything, `page_token` the last image seen."""

    query: ImageQuery
    viewer_project_id: str = ""
    all_projects: bool = False
    page_size: int = 0
    page_token: str = ""


def statement(page: ImagePage, marker: Row[Any] | None) -> Select[Any]:
    """The images of a page and one more, which tells that there is a next page."""
    order = _order(page.query.sorts)
    query = select(images).where(*_matching(page.query), *_showing(page))
    if marker is not None:
        query = query.where(_after(order, marker))
    query = query.order_by(*(column.desc() if descending else column.asc() for column, descending in order))
    return query.limit(page.page_size + 1) if page.page_size else query


def marker(page: ImagePage) -> Select[Any]:
    """The image that the page comes after, when the viewer may know that it exists."""
    query = select(images).where(images.c.id == page.page_token)
    return query if page.all_projects else query.where(or_(*_seen(page, any_status=True)))


def _order(sorts: Sequence[ImageSort]) -> list[tuple[ColumnElement[Any], bool]]:
    order: list[tuple[ColumnElement[Any], bool]] = []
    for sort in sorts or (_NEWEST_FIRST,):
        order.append((_SORT_COLUMNS.get(sort.key, images.c.created_at), sort.descending))
    # Ties in the direction of the last step, so that the usual order can run along one index.
    order.append((images.c.id, order[-1][1]))
    return order


def _after(order: Sequence[tuple[ColumnElement[Any], bool]], marker: Row[Any]) -> Condition:
    """Rows that come after the marker: greater in one column, equal in all before it."""
    ways = []
    for position, (column, descending) in enumerate(order):
        value = marker._mapping[column]
        ways.append(
            and_(
                *(earlier == marker._mapping[earlier] for earlier, _ in order[:position]),
                column < value if descending else column > value,
            )
        )
    return or_(*ways)


def _showing(page: ImagePage) -> list[Condition]:
    """What of all images the viewer's list shows."""
    query = page.query
    own: Condition = and_(images.c.owner == page.viewer_project_id, images.c.owner != "")
    conditions: list[Condition] = []
    if query.visibility:
        conditions.append(images.c.visibility == _word(ImageVisibility.Name(query.visibility)))
    elif not query.all_visibilities:
        conditions.append(or_(images.c.visibility != "community", own))
    if page.all_projects:
        return conditions
    conditions.append(or_(*_seen(page, any_status=query.any_member_status)))
    return conditions


def _seen(page: ImagePage, *, any_status: bool) -> list[Condition]:
    """By what right a project sees an image; `any_status`: whatever it made of the offer of a shared one."""
    query, project = page.query, page.viewer_project_id
    ways: list[Condition] = [images.c.visibility.in_(("public", "community"))]
    if project:
        own: Condition = and_(images.c.owner == project, images.c.owner != "")
        member = select(image_members.c.image_id).where(
            image_members.c.image_id == images.c.id, image_members.c.project_id == project
        )
        if not any_status:
            status = query.member_status or ImageMemberStatus.IMAGE_MEMBER_STATUS_ACCEPTED
            member = member.where(image_members.c.status == _word(ImageMemberStatus.Name(status)))
        ways += [own, and_(images.c.visibility == "shared", exists(member))]
    return ways


def _matching(query: ImageQuery) -> list[Condition]:
    """What the query itself asks for."""
    conditions: list[Condition] = []
    for column, wanted in (
        (images.c.name, query.names),
        (images.c.id, query.ids),
        (images.c.status, [_word(ImageStatus.Name(s)) for s in query.statuses]),
        (images.c.disk_format, query.disk_formats),
        (images.c.container_format, query.container_formats),
    ):
        if wanted:
            conditions.append(column.in_(list(wanted)))
    for name in ("owner", "checksum", "os_hash_value"):
        if getattr(query, name):
            conditions.append(images.c[name] == getattr(query, name))
    given = {field.name: value for field, value in query.ListFields()}
    for name in ("hidden", "protected", "min_disk_gb", "min_ram_mb"):
        if name in given:
            conditions.append(images.c[name] == given[name])
    if query.HasField("size_min"):
        conditions.append(images.c.size >= query.size_min)
    if query.HasField("size_max"):
        conditions.append(images.c.size <= query.size_max)
    for name in ("created_at", "updated_at"):
        if name in given:
            conditions.append(_compared(images.c[name], given[name]))
    return conditions + _labelled(query)


def _labelled(query: ImageQuery) -> list[Condition]:
    conditions: list[Condition] = []
    for tag in query.tags:
        conditions.append(
            exists(select(1).where(image_tags.c.image_id == images.c.id, image_tags.c.tag == tag))
        )
    for name, value in query.properties.items():
        conditions.append(
            exists(
                select(1).where(
                    image_properties.c.image_id == images.c.id,
                    image_properties.c.name == name,
                    image_properties.c.value == value,
                )
            )
        )
    return conditions


def _compared(column: ColumnElement[Any], condition: TimeCondition) -> Condition:
    compare = _TIME_OPERATORS[condition.operator or TIME_OPERATOR_EQUAL]
    return cast(Condition, compare(column, moment(condition.time)))


def _word(name: str) -> str:
    """IMAGE_VISIBILITY_PUBLIC is `public` in the Image API."""
    return name.rpartition("_")[2].lower()

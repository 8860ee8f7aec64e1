"""Records of the projects that images are shared with."""

from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from db.schema.base import now, timestamp
from db.schema.images import image_members, images
from novamesh.failures import AlreadyExistsError, NotFoundError, ResourceExhaustedError
from novamesh.types.v1.image_member_pb2 import ImageMember, ImageMemberStatus

_PENDING = "pending"


def create(connection: Connection, image_id: str, project_id: str, limit: int) -> ImageMember:
    """Write a pending member. A `limit` below 0 is none.

    Raises NotFoundError for the image, AlreadyExistsError, and ResourceExhaustedError when there are
    `limit` already.
    """
    # Locks the image's row: two that are added at once count each other.
    locked = select(images.c.id).where(images.c.id == image_id).with_for_update()
    if connection.execute(locked).first() is None:
        raise NotFoundError("image", image_id)
    if _find(connection, image_id, project_id) is not None:
        raise AlreadyExistsError("member", project_id)
    count = select(func.count()).where(image_members.c.image_id == image_id)
    if 0 <= limit <= connection.execute(count).scalar_one():
        raise ResourceExhaustedError("image_members", f"An image may have {limit} members at most.")
    moment = now()
    connection.execute(
        insert(image_members).values(
            image_id=image_id,
            project_id=project_id,
            generation=1,
            status=_PENDING,
            created_at=moment,
            updated_at=moment,
        )
    )
    return get(connection, image_id, project_id)


def get(connection: Connection, image_id: str, project_id: str) -> ImageMember:
    """One member. Raises NotFoundError."""
    row = _find(connection, image_id, project_id)
    if row is None:
        raise NotFoundError("member", project_id)
    return _to_member(row)


def list_all(connection: Connection, image_id: str) -> list[ImageMember]:
    """An image's members, oldest first."""
    query = (
        select(image_members)
        .where(image_members.c.image_id == image_id)
        .order_by(image_members.c.created_at, image_members.c.project_id)
    )
    return [_to_member(row) for row in connection.execute(query)]


def write_status(
    connection: Connection, image_id: str, project_id: str, status: ImageMemberStatus.ValueType
) -> ImageMember:
    """Write what the member makes of the image. Raises NotFoundError."""
    connection.execute(
        update(image_members)
        .where(image_members.c.image_id == image_id, image_members.c.project_id == project_id)
        .values(
            status=ImageMemberStatus.Name(status).rpartition("_")[2].lower(),
            generation=image_members.c.generation + 1,
            updated_at=now(),
        )
    )
    return get(connection, image_id, project_id)


def remove(connection: Connection, image_id: str, project_id: str) -> None:
    """Drop a member. Raises NotFoundError."""
    done = connection.execute(
        delete(image_members).where(
            image_members.c.image_id == image_id, image_members.c.project_id == project_id
        )
    )
    if not done.rowcount:
        raise NotFoundError("member", project_id)


def _find(connection: Connection, image_id: str, project_id: str) -> Row[Any] | None:
    return connection.execute(
        select(image_members).where(
            image_members.c.image_id == image_id, image_members.c.project_id == project_id
        )
    ).one_or_none()


def _to_member(row: Row[Any]) -> ImageMember:
    return ImageMember(
        image_id=row.image_id,
        project_id=row.project_id,
        generation=row.generation,
        status=ImageMemberStatus.Value(f"IMAGE_MEMBER_STATUS_{row.status.upper()}"),
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )

"""Records of images."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, select, update

from db.image_queries import ImagePage, marker, statement
from db.schema.base import now, timestamp
from db.schema.images import image_properties, image_tags, images
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from novamesh.types.v1.image_pb2 import Image, ImageStatus, ImageVisibility

_BY_ID = select(images).where(images.c.id == bindparam("of"))
_LOCK = _BY_ID.with_for_update()

# The Image API's words for the contract's numbers, and back.
STATUS_WORDS = {n: ImageStatus.Name(n).removeprefix("IMAGE_STATUS_").lower() for n in ImageStatus.values()}
VISIBILITY_WORDS = {
    n: ImageVisibility.Name(n).removeprefix("IMAGE_VISIBILITY_").lower() for n in ImageVisibility.values()
}
_STATUSES = {word: number for number, word in STATUS_WORDS.items()}
_VISIBILITIES = {word: number for number, word in VISIBILITY_WORDS.items()}

# Fields of Image that can be written, and what of them the column of the same name holds.
_VALUES: dict[str, Callable[[Image], Any]] = {
    "name": lambda image: image.name,
    "status": lambda image: STATUS_WORDS[image.status],
    "visibility": lambda image: VISIBILITY_WORDS[image.visibility],
    "owner": lambda image: image.owner,
    "disk_format": lambda image: image.disk_format,
    "container_format": lambda image: image.container_format,
    "size": lambda image: image.size,
    "virtual_size": lambda image: image.virtual_size,
    "checksum": lambda image: image.checksum,
    "os_hash_algo": lambda image: image.os_hash_algo,
    "os_hash_value": lambda image: image.os_hash_value,
    "min_disk_gb": lambda image: image.min_disk_gb,
    "min_ram_mb": lambda image: image.min_ram_mb,
    "protected": lambda image: image.protected,
    "hidden": lambda image: image.hidden,
    "tags": lambda image: list(image.tags),
    "properties": lambda image: dict(image.properties),
}


def create(connection: Connection, image: Image, request_id: str) -> Image:
    """Write a new record. The same `request_id` again gives the record that it made.

    Raises AlreadyExistsError when the id is taken.
    """
    if request_id:
        found = connection.execute(select(images).where(images.c.request_id == request_id)).one_or_none()
        if found is not None:
            return to_image(found)
    if connection.execute(select(images.c.id).where(images.c.id == image.id)).first() is not None:
        raise AlreadyExistsError("image", image.id)
    moment = now()
    values = {name: value(image) for name, value in _VALUES.items()}
    connection.execute(
        insert(images).values(
            id=image.id,
            generation=1,
            request_id=request_id or None,
            created_at=moment,
            updated_at=moment,
            **values,
        )
    )
    _index(connection, image, ("tags", "properties"))
    return get(connection, image.id)


def get(connection: Connection, image_id: str) -> Image:
    """One record. Raises NotFoundError."""
    return to_image(_row(connection, image_id))


def list_page(connection: Connection, page: ImagePage) -> tuple[list[Image], str]:
    """A page of records, and the token of the next or an empty string.

    Raises InvalidArgumentError when the page token names no image.
    """
    after = None
    if page.page_token:
        after = connection.execute(marker(page)).one_or_none()
        if after is None:
            raise InvalidArgumentError("page_token", f"Image {page.page_token} could not be found.")
    found = [to_image(row) for row in connection.execute(statement(page, after))]
    if page.page_size and len(found) > page.page_size:
        found = found[: page.page_size]
        return found, found[-1].id
    return found, ""


def write(
    connection: Connection,
    image: Image,
    paths: Sequence[str],
    *,
    generation: int = 0,
    from_statuses: Iterable[ImageStatus.ValueType] = (),
) -> Image:
    """Write the fields of `image` that `paths` names into the record of its id.

    Raises NotFoundError, GenerationConflictError when `generation` isn't 0 or the record's, and
    ImageUnacceptableError when the record is in none of `from_statuses` (if there are any).
    """
    row = _row(connection, image.id, lock=True)
    if generation and generation != row.generation:
        raise GenerationConflictError("image", image.id, generation, row.generation)
    allowed = [STATUS_WORDS[status] for status in from_statuses]
    if allowed and row.status not in allowed:
        raise ImageUnacceptableError(
            image.id, "status", f"Image {image.id} is {row.status}, not {' or '.join(allowed)}."
        )
    values: dict[str, Any] = {}
    for path in paths:
        if path not in _VALUES:
            raise InvalidArgumentError("update_mask", f"{path} can't be written.")
        values[path] = _VALUES[path](image)
    values["generation"] = row.generation + 1
    values["updated_at"] = now()
    connection.execute(update(images).where(images.c.id == image.id).values(values))
    _unindex(connection, image.id, paths)
    _index(connection, image, paths)
    return get(connection, image.id)


def remove(connection: Connection, image_id: str) -> Image:
    """Drop a record with its members. The answer is what it was.

    Raises NotFoundError, PermissionDeniedError when it is protected.
    """
    row = _row(connection, image_id, lock=True)
    if row.protected:
        raise PermissionDeniedError("delete_image", f"Image {image_id} is protected and cannot be deleted.")
    connection.execute(delete(images).where(images.c.id == image_id))
    return to_image(row)


def to_image(row: Row[Any]) -> Image:
    """A row as the contracts carry it."""
    return Image(
        id=row.id,
        generation=row.generation,
        name=row.name,
        status=_STATUSES[row.status],
        visibility=_VISIBILITIES[row.visibility],
        owner=row.owner,
        disk_format=row.disk_format,
        container_format=row.container_format,
        size=row.size,
        virtual_size=row.virtual_size,
        checksum=row.checksum,
        os_hash_algo=row.os_hash_algo,
        os_hash_value=row.os_hash_value,
        min_disk_gb=row.min_disk_gb,
        min_ram_mb=row.min_ram_mb,
        protected=row.protected,
        hidden=row.hidden,
        tags=row.tags,
        properties=row.properties,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )


def _row(connection: Connection, image_id: str, *, lock: bool = False) -> Row[Any]:
    row = connection.execute(_LOCK if lock else _BY_ID, {"of": image_id}).one_or_none()
    if row is None:
        raise NotFoundError("image", image_id)
    return row


def _index(connection: Connection, image: Image, paths: Sequence[str]) -> None:
    if "tags" in paths and image.tags:
        connection.execute(insert(image_tags), [{"image_id": image.id, "tag": tag} for tag in image.tags])
    if "properties" in paths and image.properties:
        connection.execute(
            insert(image_properties),
            [
                {"image_id": image.id, "name": name, "value": value}
                for name, value in image.properties.items()
            ],
        )


def _unindex(connection: Connection, image_id: str, paths: Sequence[str]) -> None:
    if "tags" in paths:
        connection.execute(delete(image_tags).where(image_tags.c.image_id == image_id))
    if "properties" in paths:
        connection.execute(delete(image_properties).where(image_properties.c.image_id == image_id))

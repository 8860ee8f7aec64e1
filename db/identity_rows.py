"""What the repositories of identity's records have in common."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from db.schema.base import now
from novamesh.failures import (
    AlreadyExistsError,
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
)

MOST = 1000
_ID_LENGTH = 36
_NAME_LENGTH = 255


def checked_name(noun: str, name: str) -> str:
    """The name without blanks around it. Raises InvalidArgumentError when it can't be kept."""
    name = name.strip()
    if not 1 <= len(name) <= _NAME_LENGTH:
        raise InvalidArgumentError("name", f"The name of a {noun} has from 1 to {_NAME_LENGTH} characters.")
    return name


def new_id(wanted: str) -> str:
    """The id asked for, or a new one as Keystone writes them. Raises InvalidArgumentError."""
    if len(wanted) > _ID_LENGTH:
        raise InvalidArgumentError("id", f"An id has at most {_ID_LENGTH} characters.")
    return wanted or uuid.uuid4().hex


def add(connection: Connection, table: Table, noun: str, values: Mapping[str, Any]) -> str:
    """Write a new row; gives its id. A row that the same request_id made before is left as it is.

    Raises AlreadyExistsError when its id or name is taken.
    """
    request_id = values.get("request_id")
    if request_id:
        known = connection.execute(select(table.c.id).where(table.c.request_id == request_id)).scalar()
        if known is not None:
            return str(known)
    moment = now()
    times = (
        {"created_at": moment, "updated_at": moment} if "updated_at" in table.c else {"created_at": moment}
    )
    kept = {**values, "request_id": request_id or None, **times}
    if "generation" in table.c:
        kept["generation"] = 1
    try:
        connection.execute(insert(table).values(kept))
    except IntegrityError as error:
        taken = values["name"]
        raise AlreadyExistsError(noun, taken, f"The name {taken} is taken by another {noun}.") from error
    return str(values["id"])


def row(connection: Connection, table: Table, noun: str, record_id: str) -> Row[Any]:
    """The row of an id. Raises NotFoundError."""
    found = connection.execute(select(table).where(table.c.id == record_id)).one_or_none()
    if found is None:
        raise NotFoundError(noun, record_id, f"Could not find {noun}: {record_id}.")
    return found


def rows(
    connection: Connection,
    table: Table,
    conditions: Sequence[ColumnElement[bool]],
    page_size: int,
    marker: str,
) -> tuple[Sequence[Row[Any]], bool]:
    """A page in the order of the ids, and whether more follow."""
    size = min(page_size or MOST, MOST)
    statement = select(table).where(*conditions).order_by(table.c.id).limit(size + 1)
    if marker:
        statement = statement.where(table.c.id > marker)
    found = connection.execute(statement).all()
    return found[:size], len(found) > size


def change(
    connection: Connection, table: Table, noun: str, wanted: tuple[str, int], values: Mapping[str, Any]
) -> Row[Any]:
    """Write new values to the row of an id, at a generation (0 for any); gives the row as it was.

    Raises NotFoundError, GenerationConflictError, and AlreadyExistsError when the new name is taken.
    """
    record_id, generation = wanted
    before = row(connection, table, noun, record_id)
    if generation and before.generation != generation:
        raise GenerationConflictError(noun, record_id, generation, before.generation)
    statement = (
        update(table)
        .where(table.c.id == record_id, table.c.generation == before.generation)
        .values(**values, generation=before.generation + 1, updated_at=now())
    )
    try:
        written = connection.execute(statement).rowcount
    except IntegrityError as error:
        taken = values.get("name", record_id)
        raise AlreadyExistsError(noun, taken, f"The name {taken} is taken by another {noun}.") from error
    if not written:
        raise GenerationConflictError(noun, record_id, before.generation, before.generation + 1)
    return before


def masked(mask: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that the mask names. Raises InvalidArgumentError for a name that isn't among them."""
    for name in mask:
        if name not in values:
            raise InvalidArgumentError("update_mask", f"{name} can't be changed.")
    return {name: values[name] for name in mask}

"""Records of users. The columns about passwords are db/authentication.py's."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete

from db import domains, identity_rows, revocations
from db.schema.base import timestamp
from db.schema.identity import users
from novamesh.conductor.v1.user_service_pb2 import ListUsersRequest
from novamesh.types.v1.identity_pb2 import Revocation, User


def create(connection: Connection, user: User, password_hash: str, request_id: str) -> User:
    """Write a new record. Raises AlreadyExistsError, InvalidArgumentError, NotFoundError (domain)."""
    domains.get(connection, user.domain_id)
    values = {
        "id": identity_rows.new_id(user.id),
        "name": identity_rows.checked_name("user", user.name),
        "domain_id": user.domain_id,
        "description": user.description,
        "email": user.email,
        "default_project_id": user.default_project_id,
        "enabled": user.enabled,
        "password_hash": password_hash,
        "failed_attempts": 0,
        "request_id": request_id,
    }
    return get(connection, identity_rows.add(connection, users, "user", values))


def get(connection: Connection, user_id: str) -> User:
    """One record. Raises NotFoundError."""
    return to_user(identity_rows.row(connection, users, "user", user_id))


def find(connection: Connection, request: ListUsersRequest) -> tuple[list[User], bool]:
    """A page of those that match, and whether more follow."""
    conditions = []
    if request.domain_id:
        conditions.append(users.c.domain_id == request.domain_id)
    if request.name:
        conditions.append(users.c.name == request.name)
    if request.ids:
        conditions.append(users.c.id.in_(request.ids))
    if request.HasField("enabled"):
        conditions.append(users.c.enabled.is_(request.enabled))
    found, more = identity_rows.rows(connection, users, conditions, request.page_size, request.marker)
    return [to_user(row) for row in found], more


def change(connection: Connection, user: User, mask: Sequence[str]) -> User:
    """Write new values; disabling ends the user's tokens.

    Raises NotFoundError, GenerationConflictError, AlreadyExistsError, InvalidArgumentError.
    """
    fields = ("name", "description", "email", "default_project_id", "enabled")
    values = identity_rows.masked(mask, {name: getattr(user, name) for name in fields})
    if "name" in values:
        values["name"] = identity_rows.checked_name("user", user.name)
    identity_rows.change(connection, users, "user", (user.id, user.generation), values)
    if values.get("enabled") is False:
        revocations.record(connection, Revocation(user_id=user.id))
    return get(connection, user.id)


def remove(connection: Connection, user_id: str) -> None:
    """Remove a record, its assignments and application credentials, and end its tokens.

    Raises NotFoundError.
    """
    identity_rows.row(connection, users, "user", user_id)
    connection.execute(delete(users).where(users.c.id == user_id))
    revocations.record(connection, Revocation(user_id=user_id))


def to_user(row: Row[Any]) -> User:
    """The record of a row; nothing secret."""
    return User(
        id=row.id,
        generation=row.generation,
        name=row.name,
        domain_id=row.domain_id,
        description=row.description,
        email=row.email,
        default_project_id=row.default_project_id,
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )

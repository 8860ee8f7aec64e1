"""Records of roles, and what they imply."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from db import identity_rows, revocations
from db.schema.base import timestamp
from db.schema.identity import role_implications, roles
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.identity_pb2 import Revocation, Role


def create(connection: Connection, role: Role, request_id: str) -> Role:
    """Write a new record. Raises AlreadyExistsError, InvalidArgumentError."""
    values = {
        "id": identity_rows.new_id(role.id),
        "name": identity_rows.checked_name("role", role.name),
        "description": role.description,
        "request_id": request_id,
    }
    return get(connection, identity_rows.add(connection, roles, "role", values))


def get(connection: Connection, role_id: str) -> Role:
    """One record. Raises NotFoundError."""
    row = identity_rows.row(connection, roles, "role", role_id)
    return to_role(row, implications(connection).get(role_id, []))


def find(
    connection: Connection, name: str, ids: Sequence[str], page_size: int, marker: str
) -> tuple[list[Role], bool]:
    """A page of those that match, and whether more follow."""
    conditions = []
    if name:
        conditions.append(roles.c.name == name)
    if ids:
        conditions.append(roles.c.id.in_(ids))
    found, more = identity_rows.rows(connection, roles, conditions, page_size, marker)
    implied = implications(connection)
    return [to_role(row, implied.get(row.id, [])) for row in found], more


def change(connection: Connection, role: Role, mask: Sequence[str]) -> Role:
    """Write new values; another name ends the tokens that have the old one.

    Raises NotFoundError, GenerationConflictError, AlreadyExistsError, InvalidArgumentError.
    """
    values = identity_rows.masked(mask, {"name": role.name, "description": role.description})
    if "name" in values:
        values["name"] = identity_rows.checked_name("role", role.name)
    before = identity_rows.change(connection, roles, "role", (role.id, role.generation), values)
    if values.get("name", before.name) != before.name:
        revocations.record(connection, Revocation(role_id=role.id))
    return get(connection, role.id)


def remove(connection: Connection, role_id: str) -> None:
    """Remove a record and its assignments, and end the tokens that grant it. Raises NotFoundError."""
    identity_rows.row(connection, roles, "role", role_id)
    connection.execute(delete(roles).where(roles.c.id == role_id))
    revocations.record(connection, Revocation(role_id=role_id))


def imply(connection: Connection, prior_role_id: str, implied_role_id: str) -> Role:
    """Let a role imply another. Raises NotFoundError, InvalidArgumentError (a circle)."""
    for role_id in (prior_role_id, implied_role_id):
        identity_rows.row(connection, roles, "role", role_id)
    known = implications(connection)
    if prior_role_id in with_implied([implied_role_id], known):
        raise InvalidArgumentError("implied_role_id", "A role can't imply itself, by way of others neither.")
    if implied_role_id not in known.get(prior_role_id, []):
        connection.execute(
            insert(role_implications).values(prior_role_id=prior_role_id, implied_role_id=implied_role_id)
        )
    return get(connection, prior_role_id)


def unimply(connection: Connection, prior_role_id: str, implied_role_id: str) -> Role:
    """Take that back, and end the tokens that it concerns. Raises NotFoundError."""
    removed = connection.execute(
        delete(role_implications).where(
            role_implications.c.prior_role_id == prior_role_id,
            role_implications.c.implied_role_id == implied_role_id,
        )
    ).rowcount
    if not removed:
        raise NotFoundError(
            "implied role", implied_role_id, f"{prior_role_id} doesn't imply {implied_role_id}."
        )
    revocations.record(connection, Revocation(role_id=prior_role_id))
    return get(connection, prior_role_id)


def implications(connection: Connection) -> dict[str, list[str]]:
    """What each role implies by itself. There are a handful in a whole cloud."""
    known: dict[str, list[str]] = {}
    statement = select(role_implications).order_by(role_implications.c.implied_role_id)
    for row in connection.execute(statement):
        known.setdefault(row.prior_role_id, []).append(row.implied_role_id)
    return known


def with_implied(role_ids: Iterable[str], known: dict[str, list[str]]) -> dict[str, str]:
    """The roles and all that they imply, each with the assigned role that brings it."""
    found = {role_id: role_id for role_id in role_ids}
    open_ids = list(found)
    while open_ids:
        role_id = open_ids.pop()
        for implied in known.get(role_id, []):
            if implied not in found:
                found[implied] = found[role_id]
                open_ids.append(implied)
    return found


def to_role(row: Row[Any], implied: Sequence[str]) -> Role:
    """The record of a row."""
    return Role(
        id=row.id,
        generation=row.generation,
        name=row.name,
        description=row.description,
        implied_role_ids=implied,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )

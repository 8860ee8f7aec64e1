"""Records of application credentials."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, select

from db import identity_rows, projects, revocations, role_assignments, roles, users
from db.schema.base import moment, timestamp
from db.schema.identity import application_credentials as table
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.identity_pb2 import ApplicationCredential, Revocation


def create(
    connection: Connection, credential: ApplicationCredential, secret_hash: str, request_id: str
) -> ApplicationCredential:
    """Write a new record; no roles named means all that the user has on the project.

    Raises AlreadyExistsError, NotFoundError (user, project), InvalidArgumentError (a role that the user
    lacks).
    """
    users.get(connection, credential.user_id)
    projects.get(connection, credential.project_id)
    assigned = role_assignments.role_ids(connection, credential.user_id, credential.project_id, "")
    allowed = roles.with_implied(assigned, roles.implications(connection))
    wanted = [role.id for role in credential.roles] or list(assigned)
    for role_id in wanted:
        if role_id not in allowed:
            raise InvalidArgumentError("roles", f"The user doesn't have the role {role_id} on the project.")
    if not wanted:
        raise InvalidArgumentError("roles", "The user has no role on the project.")
    values = {
        "id": identity_rows.new_id(credential.id),
        "user_id": credential.user_id,
        "project_id": credential.project_id,
        "name": identity_rows.checked_name("application credential", credential.name),
        "description": credential.description,
        "secret_hash": secret_hash,
        "role_ids": wanted,
        "unrestricted": credential.unrestricted,
        "expires_at": moment(credential.expires_at) if credential.HasField("expires_at") else None,
        "request_id": request_id,
    }
    return get(connection, identity_rows.add(connection, table, "application credential", values))


def get(connection: Connection, credential_id: str, user_id: str = "") -> ApplicationCredential:
    """One record; with `user_id`, only one of that user. Raises NotFoundError."""
    row = identity_rows.row(connection, table, "application credential", credential_id)
    if user_id and row.user_id != user_id:
        raise NotFoundError(
            "application credential",
            credential_id,
            f"Could not find application credential: {credential_id}.",
        )
    return to_credential(connection, row)


def find(connection: Connection, user_id: str, name: str) -> list[ApplicationCredential]:
    """Those of a user, or the one of a name, in the order of their names."""
    statement = select(table).where(table.c.user_id == user_id).order_by(table.c.name)
    if name:
        statement = statement.where(table.c.name == name)
    return [to_credential(connection, row) for row in connection.execute(statement).all()]


def remove(connection: Connection, credential_id: str, user_id: str = "") -> None:
    """Remove a record and end its tokens. Raises NotFoundError."""
    get(connection, credential_id, user_id)
    connection.execute(delete(table).where(table.c.id == credential_id))
    revocations.record(connection, Revocation(application_credential_id=credential_id))


def remaining_roles(row: Row[Any], allowed: Sequence[str]) -> list[str]:
    """The roles of a credential that its user still has."""
    return [role_id for role_id in row.role_ids if role_id in allowed]


def to_credential(connection: Connection, row: Row[Any]) -> ApplicationCredential:
    """The record of a row; nothing secret."""
    return ApplicationCredential(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        description=row.description,
        project_id=row.project_id,
        roles=role_assignments.entities(connection, row.role_ids),
        unrestricted=row.unrestricted,
        expires_at=timestamp(row.expires_at),
        created_at=timestamp(row.created_at),
    )

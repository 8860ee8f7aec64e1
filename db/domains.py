"""Records of domains."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete

from db import identity_rows, revocations
from db.schema.base import timestamp
from db.schema.identity import domains
from novamesh.failures import PermissionDeniedError
from novamesh.types.v1.identity_pb2 import Domain, Revocation


def create(connection: Connection, domain: Domain, request_id: str) -> Domain:
    """Write a new record. Raises AlreadyExistsError, InvalidArgumentError."""
    values = {
        "id": identity_rows.new_id(domain.id),
        "name": identity_rows.checked_name("domain", domain.name),
        "description": domain.description,
        "enabled": domain.enabled,
        "request_id": request_id,
    }
    return get(connection, identity_rows.add(connection, domains, "domain", values))


def get(connection: Connection, domain_id: str) -> Domain:
    """One record. Raises NotFoundError."""
    return to_domain(identity_rows.row(connection, domains, "domain", domain_id))


def find(
    connection: Connection, name: str, ids: Sequence[str], page_size: int, marker: str
) -> tuple[list[Domain], bool]:
    """A page of those that match, and whether more follow."""
    conditions = []
    if name:
        conditions.append(domains.c.name == name)
    if ids:
        conditions.append(domains.c.id.in_(ids))
    found, more = identity_rows.rows(connection, domains, conditions, page_size, marker)
    return [to_domain(row) for row in found], more


def change(connection: Connection, domain: Domain, mask: Sequence[str]) -> Domain:
    """Write new values; disabling it ends its tokens.

    Raises NotFoundError, GenerationConflictError, AlreadyExistsError, InvalidArgumentError.
    """
    values = identity_rows.masked(
        mask, {"name": domain.name, "description": domain.description, "enabled": domain.enabled}
    )
    if "name" in values:
        values["name"] = identity_rows.checked_name("domain", domain.name)
    identity_rows.change(connection, domains, "domain", (domain.id, domain.generation), values)
    if values.get("enabled") is False:
        revocations.record(connection, Revocation(domain_id=domain.id))
    return get(connection, domain.id)


def remove(connection: Connection, domain_id: str) -> None:
    """Remove a record with all that is in it, and end its tokens.

    Raises NotFoundError, and PermissionDeniedError while it is enabled.
    """
    if get(connection, domain_id).enabled:
        raise PermissionDeniedError(
            "identity:delete_domain", "A domain that is enabled can't be deleted; disable it first."
        )
    connection.execute(delete(domains).where(domains.c.id == domain_id))
    revocations.record(connection, Revocation(domain_id=domain_id))


def to_domain(row: Row[Any]) -> Domain:
    """The record of a row."""
    return Domain(
        id=row.id,
        generation=row.generation,
        name=row.name,
        description=row.description,
        enabled=row.enabled,
        created_at=timestamp(row.created_at),
        updated_at=timestamp(row.updated_at),
    )

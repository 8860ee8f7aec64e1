"""The list of revoked tokens. Whoever makes tokens worthless writes here in the same transaction."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from db.schema.base import moment, now, timestamp
from db.schema.identity import revocation_counter, revocations
from novamesh.failures import InvalidArgumentError
from novamesh.tokens import LONGEST_LIFE
from novamesh.types.v1.identity_pb2 import Revocation

_WHAT = (
    "audit_id",
    "audit_chain_id",
    "user_id",
    "project_id",
    "domain_id",
    "role_id",
    "application_credential_id",
)


def record(connection: Connection, revocation: Revocation) -> Revocation:
    """Keep a revocation; forgets those that have ended.

    `issued_before` is this moment and `expires_at` as late as a token may end, where they are unset.
    Raises InvalidArgumentError when nothing says which tokens are meant.
    """
    what = {name: getattr(revocation, name) for name in _WHAT}
    if not any(what.values()):
        raise InvalidArgumentError("revocation", "A revocation says which tokens it ends.")
    connection.execute(update(revocation_counter).values(revision=revocation_counter.c.revision + 1))
    revision = current(connection)
    present = now()
    issued_before = moment(revocation.issued_before) if revocation.HasField("issued_before") else present
    expires_at = (
        moment(revocation.expires_at)
        if revocation.HasField("expires_at")
        else issued_before + timedelta(seconds=LONGEST_LIFE)
    )
    connection.execute(delete(revocations).where(revocations.c.expires_at <= present))
    values = {**what, "revision": revision, "issued_before": issued_before, "expires_at": expires_at}
    connection.execute(insert(revocations).values(values))
    return Revocation(
        revision=revision, issued_before=timestamp(issued_before), expires_at=timestamp(expires_at), **what
    )


def current(connection: Connection) -> int:
    """The revision that the list has."""
    return int(connection.execute(select(revocation_counter.c.revision)).scalar_one())


def after(connection: Connection, revision: int) -> Sequence[Revocation]:
    """Those in force that came after a revision, in order."""
    statement = (
        select(revocations)
        .where(revocations.c.revision > revision, revocations.c.expires_at > now())
        .order_by(revocations.c.revision)
    )
    return [_to_revocation(row) for row in connection.execute(statement)]


def _to_revocation(row: Row[Any]) -> Revocation:
    return Revocation(
        revision=row.revision,
        issued_before=timestamp(row.issued_before),
        expires_at=timestamp(row.expires_at),
        **{name: getattr(row, name) for name in _WHAT},
    )

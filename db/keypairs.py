"""Public keys of users."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select
from sqlalchemy.exc import IntegrityError

from db.dialect import insert_number
from db.schema.base import timestamp
from db.schema.compute import keypairs
from novamesh.conductor.v1.keypair_service_pb2 import Keypair, ListKeypairsRequest
from novamesh.failures import AlreadyExistsError, NotFoundError

PAGE = 1000
_c = keypairs.c


def message(found: Row[Any]) -> Keypair:
    """A row as a message."""
    return Keypair(
        number=found.number,
        user_id=found.user_id,
        name=found.name,
        type=found.type,
        public_key=found.public_key,
        fingerprint=found.fingerprint,
        created_at=timestamp(found.created_at),
    )


def add(connection: Connection, keypair: Keypair, at: datetime) -> Keypair:
    """Store a public key.

    Raises AlreadyExistsError.
    """
    try:
        insert_number(
            connection,
            keypairs,
            {
                "user_id": keypair.user_id,
                "name": keypair.name,
                "type": keypair.type or "ssh",
                "public_key": keypair.public_key,
                "fingerprint": keypair.fingerprint,
                "created_at": at,
            },
        )
    except IntegrityError as error:
        raise AlreadyExistsError(
            "keypair", keypair.name, f"Key pair '{keypair.name}' already exists."
        ) from error
    return get(connection, keypair.user_id, keypair.name)


def get(connection: Connection, user_id: str, name: str) -> Keypair:
    """One key pair of a user.

    Raises NotFoundError.
    """
    found = connection.execute(select(keypairs).where(_c.user_id == user_id, _c.name == name)).first()
    if found is None:
        raise NotFoundError("keypair", name, f"Keypair {name} not found for user {user_id}")
    return message(found)


def page(connection: Connection, request: ListKeypairsRequest) -> tuple[list[Keypair], bool]:
    """A page by name, and whether more follow.

    Raises NotFoundError (marker).
    """
    size = min(request.page_size or PAGE, PAGE)
    wanted = select(keypairs).where(_c.user_id == request.user_id).order_by(_c.name).limit(size + 1)
    if request.marker:
        get(connection, request.user_id, request.marker)
        wanted = wanted.where(_c.name > request.marker)
    rows = connection.execute(wanted).all()
    return [message(found) for found in rows[:size]], len(rows) > size


def count(connection: Connection, user_id: str) -> int:
    """How many a user has."""
    return connection.execute(
        select(func.count()).select_from(keypairs).where(_c.user_id == user_id)
    ).scalar_one()


def remove(connection: Connection, user_id: str, name: str) -> None:
    """Remove one.

    Raises NotFoundError.
    """
    if connection.execute(delete(keypairs).where(_c.user_id == user_id, _c.name == name)).rowcount == 0:
        raise NotFoundError("keypair", name, f"Keypair {name} not found for user {user_id}")

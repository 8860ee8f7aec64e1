"""Host aggregates and the hosts in them.

Whoever changes one locks it first, then the hosts concerned by `lock_hosts`, and ends with `derive`, which
writes what follows for those hosts. Two writers then never judge the same host at once, which is what keeps
it in one zone.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from db.dialect import insert_number
from db.schema.aggregates import aggregate_hosts, aggregates
from db.schema.base import timestamp
from db.schema.compute import hosts
from novamesh.failures import AlreadyExistsError, InvalidArgumentError, NotFoundError
from novamesh.types.v1.aggregate_pb2 import Aggregate

_c = aggregates.c
_m = aggregate_hosts.c
_ROW = select(aggregates)
# The key of the metadata that Nova keeps a zone under.
ZONE = "availability_zone"
_MEMBERS = select(_m.aggregate, _m.host).order_by(_m.aggregate, _m.position)


_DERIVED = (
    update(hosts)
    .where(hosts.c.name == bindparam("host_name"))
    .values(
        availability_zone=bindparam("zone"),
        aggregate_metadata=bindparam("metadata"),
        generation=hosts.c.generation + 1,
    )
)


class HostPlace(NamedTuple):
    """What decides whether a host's zone may change."""

    name: str
    availability_zone: str
    instances: int


def message(found: Row[Any], names: Sequence[str]) -> Aggregate:
    """A row and its hosts as a message."""
    return Aggregate(
        id=found.id,
        generation=found.generation,
        number=found.number,
        name=found.name,
        availability_zone=found.availability_zone,
        metadata=found.metadata,
        hosts=names,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
    )


def add(connection: Connection, aggregate: Aggregate, at: datetime) -> Aggregate:
    """Make one, without hosts.

    Raises AlreadyExistsError.
    """
    _refuse_taken(connection, aggregate)
    try:
        number = insert_number(
            connection,
            aggregates,
            {
                "id": str(uuid.uuid4()),
                "generation": 1,
                "name": aggregate.name,
                "availability_zone": aggregate.availability_zone,
                "metadata": dict(aggregate.metadata),
                "created_at": at,
            },
        )
    except IntegrityError as error:
        raise AlreadyExistsError("aggregate", aggregate.name) from error
    return get(connection, number)


def get(connection: Connection, number: int, *, lock: bool = False) -> Aggregate:
    """One by its number; with `lock` nobody else may change it until this transaction ends.

    Raises NotFoundError.
    """
    wanted = _ROW.where(_c.number == number)
    found = connection.execute(wanted.with_for_update() if lock else wanted).first()
    if found is None:
        raise NotFoundError("aggregate", str(number))
    rows = connection.execute(_MEMBERS.where(_m.aggregate == number))
    return message(found, [row.host for row in rows])


def everyone(connection: Connection) -> list[Aggregate]:
    """All in the order of their number."""
    names: dict[int, list[str]] = {}
    for row in connection.execute(_MEMBERS):
        names.setdefault(row.aggregate, []).append(row.host)
    rows = connection.execute(_ROW.order_by(_c.number))
    return [message(found, names.get(found.number, ())) for found in rows]


def save(connection: Connection, aggregate: Aggregate, at: datetime) -> Aggregate:
    """Write name, zone and metadata of one that is locked.

    Raises AlreadyExistsError.
    """
    _refuse_taken(connection, aggregate)
    try:
        connection.execute(
            update(aggregates)
            .where(_c.number == aggregate.number)
            .values(
                name=aggregate.name,
                availability_zone=aggregate.availability_zone,
                metadata=dict(aggregate.metadata),
                updated_at=at,
                generation=_c.generation + 1,
            )
        )
    except IntegrityError as error:
        raise AlreadyExistsError("aggregate", aggregate.name) from error
    return get(connection, aggregate.number)


def remove(connection: Connection, number: int) -> None:
    """Remove one without hosts.

    Raises NotFoundError; InvalidArgumentError (hosts) while it has any.
    """
    if get(connection, number, lock=True).hosts:
        raise InvalidArgumentError(
            "hosts", f"Cannot remove aggregate {number}. Reason: Host aggregate is not empty."
        )
    connection.execute(delete(aggregates).where(_c.number == number))


def put_host(connection: Connection, number: int, host: str) -> Aggregate:
    """Put a host into one that is locked."""
    last = connection.execute(select(func.max(_m.position)).where(_m.aggregate == number)).scalar()
    row = {"aggregate": number, "host": host, "position": (last or 0) + 1}
    connection.execute(insert(aggregate_hosts), row)
    return _touched(connection, number)


def take_host(connection: Connection, number: int, host: str) -> Aggregate:
    """Take a host out of one that is locked."""
    connection.execute(delete(aggregate_hosts).where(_m.aggregate == number, _m.host == host))
    return _touched(connection, number)


def lock_hosts(connection: Connection, names: Sequence[str]) -> list[HostPlace]:
    """The hosts of these names that there are; nobody else may claim, move or remove them until this
    transaction ends."""
    wanted = select(hosts.c.name, hosts.c.availability_zone, hosts.c.instances)
    # In the order of those who write heartbeats, so that nobody deadlocks.
    wanted = wanted.where(hosts.c.name.in_(list(names))).order_by(hosts.c.name).with_for_update()
    return [HostPlace(*row) for row in connection.execute(wanted)]


def zones(connection: Connection, names: Sequence[str], but: int) -> set[str]:
    """The zones that these hosts are in by aggregates other than `but`."""
    rows = connection.execute(
        select(_c.availability_zone)
        .join(aggregate_hosts, _m.aggregate == _c.number)
        .where(_m.host.in_(list(names)), _c.number != but, _c.availability_zone != "")
        .distinct()
    )
    return {row[0] for row in rows}


def derive(connection: Connection, names: Sequence[str], default_zone: str) -> None:
    """Write zone and aggregate metadata of hosts that are locked, as they follow from their aggregates."""
    found: dict[str, dict[str, dict[str, None]]] = {name: {} for name in names}
    rows = connection.execute(
        select(_m.host, _c.availability_zone, _c.metadata)
        .join(aggregate_hosts, _m.aggregate == _c.number)
        .where(_m.host.in_(list(names)))
        .order_by(_c.number)
    )
    for host, zone, metadata in rows:
        for key, value in (metadata | ({ZONE: zone} if zone else {})).items():
            found[host].setdefault(key, {})[value] = None
    values = [
        {
            "host_name": host,
            "zone": next(iter(keys.get(ZONE, ())), default_zone),
            "metadata": {key: ",".join(each) for key, each in keys.items()},
        }
        for host, keys in found.items()
    ]
    if values:
        connection.execute(_DERIVED, values)


def set_default_zone(connection: Connection, zone: str) -> None:
    """Put the hosts that no aggregate gives a zone into the default one, which may have been another."""
    placed = exists().where(_m.host == hosts.c.name, _m.aggregate == _c.number, _c.availability_zone != "")
    connection.execute(
        update(hosts)
        .where(hosts.c.availability_zone != zone, ~placed)
        .values(availability_zone=zone, generation=hosts.c.generation + 1)
    )


def _touched(connection: Connection, number: int) -> Aggregate:
    connection.execute(update(aggregates).where(_c.number == number).values(generation=_c.generation + 1))
    return get(connection, number)


def _refuse_taken(connection: Connection, aggregate: Aggregate) -> None:
    taken = select(_c.number).where(_c.name == aggregate.name, _c.number != aggregate.number)
    if connection.execute(taken).first() is not None:
        raise AlreadyExistsError("aggregate", aggregate.name)

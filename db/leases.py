"""Who holds which operation of the ledger, until when, and how it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, or_, select, update

from db.operations import CANCELLED, DELETE, PENDING, RUNNING, Lease, Work, message
from db.schema.ledger import operations
from novamesh.types.v1.operation_pb2 import OperationState

_c = operations.c
_ROW = select(operations)
_HELD = and_(_c.id == bindparam("op"), _c.lease_owner == bindparam("owner"), _c.state == RUNNING)
_END = (
    update(operations)
    .where(_HELD)
    .values(
        state=bindparam("to_state"),
        error=bindparam("why"),
        host=bindparam("on_host"),
        finished_at=bindparam("at"),
        updated_at=bindparam("at"),
        lease_owner="",
        progress=0,
        generation=_c.generation + 1,
    )
)
_DUE = (
    select(_c.number)
    .where(
        or_(
            and_(_c.state == PENDING, _c.not_before <= bindparam("at")),
            and_(_c.state == RUNNING, _c.lease_expires_at <= bindparam("at")),
        )
    )
    .limit(1)
)
_FREE = (
    update(operations)
    .where(_c.id == bindparam("op"), _c.lease_owner == bindparam("owner"), _c.state == CANCELLED)
    .values(lease_owner="")
)


def _earlier_is_live(at: datetime) -> ColumnElement[bool]:
    other = operations.alias("earlier")
    return exists().where(
        other.c.instance_id == _c.instance_id,
        other.c.number < _c.number,
        or_(
            other.c.state.in_([PENDING, RUNNING]),
            and_(other.c.lease_owner != "", other.c.lease_expires_at > at),
        ),
    )


def any_due(connection: Connection, at: datetime) -> bool:
    """True when `claim` may find something."""
    return connection.execute(_DUE, {"at": at}).first() is not None


def claim(connection: Connection, lease: Lease, at: datetime, limit: int) -> list[Work]:
    """Take up to `limit` operations that are due: waiting ones, and those whose lease has run out.

    One whose instance has an earlier one under way is not due. Rows that another conductor is looking at are
    passed over. A row that comes back has its attempt counted already.
    """
    due = (
        _ROW.where(
            or_(
                and_(_c.state == PENDING, _c.not_before <= at),
                and_(_c.state == RUNNING, _c.lease_expires_at <= at),
            ),
            ~_earlier_is_live(at),
        )
        .order_by(_c.number)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(due).all()
    if not rows:
        return []
    connection.execute(
        update(operations)
        .where(_c.number.in_([found.number for found in rows]))
        .values(
            state=RUNNING,
            lease_owner=lease.owner,
            lease_expires_at=lease.until,
            attempts=_c.attempts + 1,
            generation=_c.generation + 1,
            updated_at=at,
        )
    )
    fresh = [found.number for found in rows if found.started_at is None]
    if fresh:
        connection.execute(update(operations).where(_c.number.in_(fresh)).values(started_at=at))
    taken = []
    for found in rows:
        operation = message(found)
        operation.state = RUNNING
        operation.lease_owner = lease.owner
        operation.attempts += 1
        operation.generation += 1
        taken.append(Work(operation, found.memory))
    return taken


def renew(connection: Connection, lease: Lease, operation_ids: Sequence[str]) -> set[str]:
    """Hold these longer, and say which of them are still to be done: the others were cancelled or taken
    over."""
    if not operation_ids:
        return set()
    held = and_(_c.id.in_(list(operation_ids)), _c.lease_owner == lease.owner)
    # In one order, so that two who lock several don't deadlock.
    connection.execute(select(_c.id).where(held).order_by(_c.number).with_for_update()).all()
    connection.execute(update(operations).where(held).values(lease_expires_at=lease.until))
    return {found[0] for found in connection.execute(select(_c.id).where(held, _c.state == RUNNING))}


@dataclass(frozen=True)
class End:
    """How an operation ended."""

    operation_id: str
    owner: str
    state: OperationState.ValueType
    error: str = ""
    host: str = ""


def release(connection: Connection, owner: str, at: datetime) -> None:
    """End the leases of a conductor that stops and works on nothing any more."""
    connection.execute(update(operations).where(_c.lease_owner == owner).values(lease_expires_at=at))


def end(connection: Connection, how: End, at: datetime) -> bool:
    """End an operation. False, and nothing written, when `owner` doesn't hold it any more."""
    result = connection.execute(
        _END,
        {
            "op": how.operation_id,
            "owner": how.owner,
            "to_state": how.state,
            "why": how.error,
            "on_host": how.host,
            "at": at,
        },
    )
    return result.rowcount == 1


@dataclass(frozen=True)
class Postponement:
    """When an operation is to be tried again, and why."""

    operation_id: str
    owner: str
    not_before: datetime
    error: str
    host: str = ""
    # False when the attempt is not to count: its host is down.
    counts: bool = True


def postpone(connection: Connection, how: Postponement, memory: dict[str, Any], at: datetime) -> bool:
    """Put an operation back for a later attempt. False when `owner` doesn't hold it any more."""
    result = connection.execute(
        update(operations)
        .where(_c.id == how.operation_id, _c.lease_owner == how.owner, _c.state == RUNNING)
        .values(
            state=PENDING,
            lease_owner="",
            not_before=how.not_before,
            error=how.error,
            host=how.host,
            memory=memory,
            attempts=_c.attempts if how.counts else _c.attempts - 1,
            generation=_c.generation + 1,
            updated_at=at,
        )
    )
    return result.rowcount == 1


def remember(connection: Connection, work: Work, owner: str, at: datetime) -> bool:
    """Write what a workflow wants its next attempt to know, and the host it is on."""
    result = connection.execute(
        update(operations)
        .where(_c.id == work.operation.id, _c.lease_owner == owner, _c.state == RUNNING)
        .values(memory=work.memory, host=work.operation.host, step=work.operation.step, updated_at=at)
    )
    return result.rowcount == 1


def cancel(connection: Connection, instance_id: str, why: str, at: datetime) -> None:
    """End what a delete or an evacuation makes pointless. A worker keeps its lease until it has noticed and
    let go."""
    connection.execute(
        update(operations)
        .where(_c.instance_id == instance_id, _c.kind != DELETE, _c.state.in_([PENDING, RUNNING]))
        .values(
            state=CANCELLED,
            error=why,
            finished_at=at,
            updated_at=at,
            generation=_c.generation + 1,
        )
    )


def let_go(connection: Connection, operation_id: str, owner: str) -> None:
    """A worker has noticed that its operation was cancelled, and does nothing for it any more."""
    connection.execute(_FREE, {"op": operation_id, "owner": owner})


def hurry(connection: Connection, host: str, at: datetime) -> None:
    """What waits for a host is due now that it is back."""
    connection.execute(
        update(operations)
        .where(_c.host == host, _c.state == PENDING, _c.not_before > at)
        .values(not_before=at)
    )


def held_among(connection: Connection, operation_ids: Sequence[str], owner: str) -> set[str]:
    """Those of these operations that `owner` may go on with; their rows stay locked until the transaction
    ends."""
    rows = connection.execute(
        select(_c.id)
        .where(_c.id.in_(list(operation_ids)), _c.lease_owner == owner, _c.state == RUNNING)
        .order_by(_c.number)
        .with_for_update()
    )
    return {found[0] for found in rows}

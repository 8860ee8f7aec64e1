"""Rows of the ledger: accepted, claimed under a lease, ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, or_, select, update

from db.dialect import insert_numbers
from db.schema.base import moment, timestamp
from db.schema.ledger import operations
from novamesh.conductor.v1.operation_service_pb2 import ListOperationsRequest
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.operation_pb2 import Operation, OperationArguments, OperationKind, OperationState

PAGE = 100
LONGEST_PAGE = 1000
PENDING = OperationState.OPERATION_STATE_PENDING
RUNNING = OperationState.OPERATION_STATE_RUNNING
CANCELLED = OperationState.OPERATION_STATE_CANCELLED
DELETE = OperationKind.OPERATION_KIND_DELETE

_c = operations.c
_ROW = select(operations)
_BY_ID = _ROW.where(_c.id == bindparam("id"))
_OF_REQUEST = _ROW.where(_c.request_id == bindparam("request"), _c.kind == bindparam("of_kind")).order_by(
    _c.number
)
_LIVE = _ROW.where(
    _c.instance_id == bindparam("of"), or_(_c.state.in_([PENDING, RUNNING]), _c.lease_owner != "")
).order_by(_c.number)
_PROGRESS = (
    update(operations)
    .where(_c.id == bindparam("of"), _c.state == RUNNING)
    .values(step=bindparam("at_step"), progress=bindparam("percentage"), updated_at=bindparam("at"))
)
_OF_INSTANCE = _ROW.where(_c.instance_id == bindparam("of"), _c.kind == bindparam("of_kind")).order_by(
    _c.number
)


@dataclass(frozen=True)
class Lease:
    """Who holds an operation, and until when."""

    owner: str
    until: datetime


@dataclass
class Work:
    """An operation with what its workflow keeps between attempts."""

    operation: Operation
    memory: dict[str, Any] = field(default_factory=dict)


def message(found: Row[Any]) -> Operation:
    """A row as a message."""
    return Operation(
        id=found.id,
        generation=found.generation,
        number=found.number,
        kind=found.kind,
        state=found.state,
        instance_id=found.instance_id,
        project_id=found.project_id,
        user_id=found.user_id,
        request_id=found.request_id,
        arguments=OperationArguments.FromString(found.arguments),
        step=found.step,
        progress=found.progress,
        attempts=found.attempts,
        max_attempts=found.max_attempts,
        lease_owner=found.lease_owner,
        lease_expires_at=timestamp(found.lease_expires_at) if found.lease_owner else None,
        not_before=timestamp(found.not_before),
        error=found.error,
        host=found.host,
        created_at=timestamp(found.created_at),
        started_at=timestamp(found.started_at),
        finished_at=timestamp(found.finished_at),
    )


def _row(operation: Operation, at: datetime) -> dict[str, Any]:
    """The columns of an operation that is written for the first time, and waits."""
    return {
        "id": operation.id,
        "generation": 1,
        "kind": operation.kind,
        "state": PENDING,
        "instance_id": operation.instance_id,
        "project_id": operation.project_id,
        "user_id": operation.user_id,
        "request_id": operation.request_id,
        "arguments": operation.arguments.SerializeToString(),
        "step": "",
        "progress": 0,
        "attempts": 0,
        "max_attempts": operation.max_attempts,
        "lease_owner": "",
        "lease_expires_at": at,
        "not_before": at,
        "error": "",
        "host": operation.host,
        "memory": {},
        "created_at": at,
        "updated_at": at,
        "started_at": None,
        "finished_at": None,
    }


def add(
    connection: Connection,
    operation: Operation,
    at: datetime,
    lease: Lease | None,
    memory: dict[str, Any] | None = None,
) -> Operation:
    """Accept an operation. With a lease it is taken up at once by whoever accepts it, which saves a
    transaction. `memory` is what its workflow is to know."""
    (made,) = add_many(connection, [operation], at, lease, memory)
    return made


def add_many(
    connection: Connection,
    accepted: Sequence[Operation],
    at: datetime,
    lease: Lease | None,
    memory: dict[str, Any] | None = None,
) -> list[Operation]:
    """The same for several, whose workflows are to know the same."""
    changed: dict[str, Any] = {"memory": memory or {}}
    if lease:
        changed |= {
            "state": RUNNING,
            "attempts": 1,
            "lease_owner": lease.owner,
            "lease_expires_at": lease.until,
            "started_at": at,
        }
    rows = [_row(operation, at) | changed for operation in accepted]
    made = []
    for operation, number in zip(accepted, insert_numbers(connection, operations, rows), strict=True):
        one = Operation()
        one.CopyFrom(operation)
        one.number = number
        one.generation = 1
        one.state = RUNNING if lease else PENDING
        one.created_at.CopyFrom(timestamp(at))
        if lease:
            one.attempts = 1
            one.lease_owner = lease.owner
            one.started_at.CopyFrom(timestamp(at))
        made.append(one)
    return made


def record(connection: Connection, operation: Operation, at: datetime) -> None:
    """Write down an operation that is done already, in the transaction that did it."""
    done = {
        "state": OperationState.OPERATION_STATE_SUCCEEDED,
        "attempts": 1,
        "max_attempts": 1,
        "started_at": at,
        "finished_at": at,
    }
    connection.execute(insert(operations), _row(operation, at) | done)


def get(connection: Connection, operation_id: str, instance_id: str = "") -> Operation:
    """One operation by its id or, with an instance, by the request that asked for it.

    Raises NotFoundError.
    """
    wanted = _BY_ID
    found = connection.execute(wanted, {"id": operation_id}).first()
    if found is None and instance_id:
        found = connection.execute(
            _ROW.where(_c.instance_id == instance_id, _c.request_id == operation_id).order_by(_c.number)
        ).first()
    if found is None or (instance_id and found.instance_id != instance_id):
        raise NotFoundError("operation", operation_id)
    return message(found)


def get_many(connection: Connection, operation_ids: Sequence[str]) -> list[Operation]:
    """Operations by id, in the ledger's order; one that isn't there is left out."""
    if not operation_ids:
        return []
    rows = connection.execute(_ROW.where(_c.id.in_(list(operation_ids))).order_by(_c.number))
    return [message(found) for found in rows]


def of_request(connection: Connection, request_id: str, kind: OperationKind.ValueType) -> list[Operation]:
    """The operations of one kind that a request started."""
    rows = connection.execute(_OF_REQUEST, {"request": request_id, "of_kind": kind})
    return [message(found) for found in rows]


def live(connection: Connection, instance_id: str) -> list[Work]:
    """The operations on an instance that have not ended, or whose worker has not let go yet."""
    rows = connection.execute(_LIVE, {"of": instance_id})
    return [Work(message(found), found.memory) for found in rows]


def unfinished(connection: Connection, instance_id: str = "") -> list[Operation]:
    """All operations that wait or run, or those on one instance."""
    wanted = _ROW.where(_c.state.in_([PENDING, RUNNING])).order_by(_c.number)
    if instance_id:
        wanted = wanted.where(_c.instance_id == instance_id)
    return [message(found) for found in connection.execute(wanted)]


def changed_since(connection: Connection, at: datetime) -> dict[str, int]:
    """Ids and generations of the operations written at `at` or later."""
    rows = connection.execute(select(_c.id, _c.generation).where(_c.updated_at >= at))
    return {found[0]: found[1] for found in rows}


def page(connection: Connection, request: ListOperationsRequest) -> tuple[list[Operation], str]:
    """A page, the newest first, and the token of the next one.

    Raises InvalidArgumentError (page_token).
    """
    size = min(request.page_size or PAGE, LONGEST_PAGE)
    wanted = _ROW.order_by(_c.number.desc()).limit(size + 1)
    if request.instance_id:
        wanted = wanted.where(_c.instance_id == request.instance_id)
    if request.states:
        wanted = wanted.where(_c.state.in_(list(request.states)))
    if request.host:
        wanted = wanted.where(_c.host == request.host)
    if request.HasField("changes_since"):
        wanted = wanted.where(_c.updated_at >= moment(request.changes_since))
    if request.page_token:
        if not request.page_token.isdecimal():
            raise InvalidArgumentError("page_token", "The page token is not one that was given out.")
        wanted = wanted.where(_c.number < int(request.page_token))
    rows = connection.execute(wanted).all()
    found = [message(row) for row in rows[:size]]
    return found, str(found[-1].number) if len(rows) > size else ""


def progress(connection: Connection, steps: dict[str, tuple[str, int]], at: datetime) -> None:
    """Write what running operations are at: step and percentage by id."""
    if steps:
        rows = [
            {"of": operation_id, "at_step": step[:255], "percentage": percentage, "at": at}
            for operation_id, (step, percentage) in steps.items()
        ]
        connection.execute(_PROGRESS, rows)


def of_instance(connection: Connection, instance_id: str, kind: OperationKind.ValueType) -> list[Operation]:
    """The operations of one kind on an instance, in the ledger's order."""
    rows = connection.execute(_OF_INSTANCE, {"of": instance_id, "of_kind": kind})
    return [message(found) for found in rows]

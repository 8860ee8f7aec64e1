"""The ledger's face: work is accepted, looked at and watched here, and done by
services/conductor/ledger.py."""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from db import instances, interfaces, leases, operations, server_groups
from db.database import Connection, Database
from db.operations import Lease, Work
from db.schema.base import now
from novamesh.conductor.v1.operation_service_pb2 import (
    CheckUploadRequest,
    CheckUploadResponse,
    GetOperationRequest,
    GetOperationResponse,
    ListOperationsRequest,
    ListOperationsResponse,
    ReportProgressRequest,
    ReportProgressResponse,
    StartOperationRequest,
    StartOperationResponse,
    WatchOperationsRequest,
    WatchOperationsResponse,
)
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation, OperationKind, OperationState
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import callers, states, uploads
from services.conductor.feed import Feeds
from services.conductor.ledger import Ledger
from services.conductor.limits import Owner
from services.conductor.options import ConductorOptions
from services.conductor.preparation import Preparation, Preparing
from services.conductor.progress import ProgressBook
from services.conductor.watching import follow
from services.mesh import Call

# Asked for again while it is under way, the first is the answer.
_ONCE = (states.DELETE, states.SOFT_DELETE)


@dataclass(frozen=True)
class Started:
    """What came of a request for work."""

    operation: Operation
    instance: Instance
    # True when the same had been asked before.
    repeated: bool = False
    # True when another operation on the instance has to end first.
    waits: bool = False
    # True when what was under way was cancelled for it.
    overtakes: bool = False
    # What the workflow begins with.
    memory: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Start:
    """A request for work, with what the conductor adds to it."""

    request: StartOperationRequest
    context: RequestContext
    at: datetime
    lease: Lease | None
    attempts: int
    quota: Mapping[str, int]
    # Seconds that a soft-deleted instance is kept; 0 when deletes are never soft.
    reclaim_interval: int
    # The workflow of a kind; None for a kind that isn't done here.
    workflow: Callable[[OperationKind.ValueType], object]


def accept(connection: Connection, asked: Start) -> Started:
    """Write an operation and the instance's new task.

    Raises NotFoundError, StateConflictError, InvalidArgumentError (kind), and what the workflow's own
    preparation raises.
    """
    request = asked.request
    instance = instances.lock(connection, request.instance_id)
    if instance.vm_state == states.DELETED or request.project_id not in ("", instance.project_id):
        raise NotFoundError("instance", request.instance_id)
    kind = request.kind
    if kind == OperationKind.OPERATION_KIND_SOFT_DELETE:
        kind = states.deletion_of(instance, asked.reclaim_interval)
    move, workflow = states.move_of(kind, request.arguments), asked.workflow(kind)
    if move is None or move is states.CREATE or workflow is None:
        raise InvalidArgumentError("kind", "No operation of this kind can be asked for.")
    for known in operations.of_instance(connection, instance.id, kind):
        same = bool(request.request_id) and known.request_id == request.request_id
        deleting = move in _ONCE and known.state in (operations.PENDING, operations.RUNNING)
        if same or deleting:
            return Started(known, interfaces.attach(connection, instance), repeated=True)
    states.check_lock(instance, move, asked.context.is_admin)
    states.check(instance, move)
    live = operations.live(connection, instance.id)
    deletion = next((one.operation for one in live if _deletes(one.operation)), None)
    if deletion is not None and deletion.kind == operations.DELETE and move in _ONCE:
        return Started(deletion, interfaces.attach(connection, instance), repeated=True)
    if deletion is not None and (deletion.kind == operations.DELETE or not move.overtakes):
        # Its task may not be seen: what it waits for shows its own, or an administrator has reset it.
        states.refuse_before(instance, move, deletion)
    waits = bool(live)
    if waits and move.overtakes:
        leases.cancel(connection, instance.id, f"Overtaken by {move.action}.", asked.at)
    operation = Operation(
        id=str(uuid.uuid4()),
        kind=kind,
        instance_id=instance.id,
        project_id=instance.project_id,
        user_id=asked.context.user_id or instance.user_id,
        request_id=request.request_id or asked.context.request_id or str(uuid.uuid4()),
        arguments=request.arguments,
        max_attempts=asked.attempts,
        host=instance.host,
    )
    wanted = Preparation(instance, operation, asked.context, asked.at, asked.quota)
    if isinstance(workflow, Preparing):
        workflow.prepare(connection, wanted)
    lease = None if waits else asked.lease
    operation = operations.add(connection, operation, asked.at, lease, wanted.memory)
    instance.task_state = move.task_state
    instances.save(connection, instance, asked.at)
    shown = server_groups.attach(connection, interfaces.attach(connection, instance))
    return Started(operation, shown, waits=waits, overtakes=waits and move.overtakes, memory=wanted.memory)


def _deletes(operation: Operation) -> bool:
    """Whether it is a delete, soft or not, that has not ended."""
    kinds = [move.kind for move in _ONCE]
    return operation.kind in kinds and operation.state in (operations.PENDING, operations.RUNNING)


class OperationServicer:
    """Answers novamesh.conductor.v1.OperationService."""

    def __init__(
        self,
        database: Database,
        options: ConductorOptions,
        ledger: Ledger,
        feeds: Feeds,
        progress: ProgressBook,
    ) -> None:
        self._database = database
        self._options = options
        self._quota = options.quota.by_resource()
        self._ledger = ledger
        self._feeds = feeds
        self._progress = progress

    async def StartOperation(self, request: StartOperationRequest, call: Call) -> StartOperationResponse:
        """Accept work."""
        started = await self.start(request, call.context)
        return StartOperationResponse(operation=started.operation, instance=started.instance)

    async def start(self, request: StartOperationRequest, context: RequestContext) -> Started:
        """Accept work, which begins at once unless other work on the instance has to end first. Raises what
        `accept` raises."""
        asked = Start(
            request,
            context,
            now(),
            self._ledger.lease(),
            self._options.operation_attempts,
            self._quota,
            self._options.reclaim_instance_interval,
            self._ledger.workflow,
        )
        started = await self._database.write(lambda c: accept(c, asked))
        if not started.repeated:
            self._feeds.instances.touch([started.instance.id])
            self._feeds.operations.touch([started.operation.id])
            if started.operation.state == operations.RUNNING:
                self._ledger.take([Work(started.operation, started.memory)])
            else:
                self._ledger.expect(started.instance.id)
            if started.overtakes:
                self._ledger.interrupt(started.instance.id)
        return started

    async def start_for(self, owner: Owner, instance_id: str, kind: OperationKind.ValueType) -> Started:
        """Accept work that no request asks for, in the owner's name, on a locked instance too. For loops of
        the conductor. Raises what `accept` raises."""
        request_id = f"req-{uuid.uuid4()}"
        request = StartOperationRequest(request_id=request_id, instance_id=instance_id, kind=kind)
        context = RequestContext(
            request_id=request_id, user_id=owner.user_id, project_id=owner.project_id, is_admin=True
        )
        return await self.start(request, context)

    async def GetOperation(self, request: GetOperationRequest, call: Call) -> GetOperationResponse:
        """One operation."""
        found = await self._database.read(lambda c: operations.get(c, request.id, request.instance_id))
        return GetOperationResponse(operation=self._progress.show(found))

    async def ListOperations(self, request: ListOperationsRequest, call: Call) -> ListOperationsResponse:
        """A page."""
        found, token = await self._database.read(lambda c: operations.page(c, request))
        return ListOperationsResponse(
            operations=[self._progress.show(one) for one in found], next_page_token=token
        )

    async def ReportProgress(self, request: ReportProgressRequest, call: Call) -> ReportProgressResponse:
        """Remember what a running operation is at."""
        if not self._progress.knows(request.id, callers.bound_host(call)):

            def work(connection: Connection) -> Operation:
                operation = operations.get(connection, request.id)
                callers.check_instance(call, instances.get(connection, operation.instance_id))
                return operation

            operation = await self._database.read(work)
            if operation.state not in (operations.PENDING, operations.RUNNING):
                return ReportProgressResponse()
        self._progress.note(request, callers.bound_host(call))
        self._feeds.operations.touch([request.id])
        return ReportProgressResponse()

    async def CheckUpload(self, request: CheckUploadRequest, call: Call) -> CheckUploadResponse:
        """Make sure that an operation has a host upload into an image."""
        await self._database.read(lambda c: uploads.check(c, request))
        return CheckUploadResponse()

    async def WatchOperations(
        self, request: WatchOperationsRequest, call: Call
    ) -> AsyncIterator[WatchOperationsResponse]:
        """What has not ended, then changes."""
        wanted = request.instance_id
        sent: dict[str, bytes] = {}
        async for step in follow(self._feeds.operations, 0, self._options.watch_interval):
            ids = step.ids
            if ids is None:
                found = await self._database.read(lambda c: operations.unfinished(c, wanted))
            else:
                found = await self._database.read(lambda c: operations.get_many(c, ids))  # noqa: B023
            for stored in found:
                operation = self._progress.show(stored)
                seen = operation.SerializeToString(deterministic=True)
                if wanted not in ("", operation.instance_id) or sent.get(operation.id) == seen:
                    continue
                sent[operation.id] = seen
                if operation.state not in (
                    OperationState.OPERATION_STATE_PENDING,
                    OperationState.OPERATION_STATE_RUNNING,
                ):
                    sent.pop(operation.id)
                yield WatchOperationsResponse(revision=step.revision, operation=operation)
            if ids is None:
                yield WatchOperationsResponse(revision=step.revision, snapshot_end=True)

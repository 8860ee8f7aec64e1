"""os-instance-actions: what was done to a server, a view of the operation ledger."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from gateway.compute import changes
from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.compute.views import times
from gateway.compute.views.links import next_links, page_limit
from gateway.compute.views.servers import host_id
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.conductor.v1.operation_service_pb2 import (
    GetOperationRequest,
    ListOperationsRequest,
    ListOperationsResponse,
)
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation, OperationKind, OperationState

_RULE = "os_compute_api:os-instance-actions:"
_Kind = OperationKind
# Nova's names, where they are not the kind's own: of the action, and of the event that the operation is.
_ACTIONS = {
    _Kind.OPERATION_KIND_SOFT_DELETE: "delete",
    _Kind.OPERATION_KIND_LIVE_MIGRATE: "live-migration",
    _Kind.OPERATION_KIND_FORCE_MIGRATION: "live_migration_force_complete",
    _Kind.OPERATION_KIND_ABORT_MIGRATION: "live_migration_cancel",
    _Kind.OPERATION_KIND_CONFIRM_RESIZE: "confirmResize",
    _Kind.OPERATION_KIND_REVERT_RESIZE: "revertResize",
    _Kind.OPERATION_KIND_SNAPSHOT: "createImage",
    _Kind.OPERATION_KIND_BACKUP: "createBackup",
    _Kind.OPERATION_KIND_SHELVE_OFFLOAD: "shelveOffload",
    _Kind.OPERATION_KIND_CHANGE_PASSWORD: "changePassword",
}
_EVENTS = {
    _Kind.OPERATION_KIND_CREATE: "compute__do_build_and_run_instance",
    _Kind.OPERATION_KIND_DELETE: "compute_terminate_instance",
    _Kind.OPERATION_KIND_CONFIRM_RESIZE: "compute_confirm_resize",
    _Kind.OPERATION_KIND_REVERT_RESIZE: "compute_revert_resize",
    _Kind.OPERATION_KIND_MIGRATE: "compute_resize_instance",
    _Kind.OPERATION_KIND_LIVE_MIGRATE: "compute_live_migration",
    _Kind.OPERATION_KIND_FORCE_MIGRATION: "compute_live_migration_force_complete",
    _Kind.OPERATION_KIND_ABORT_MIGRATION: "compute_live_migration_abort",
    _Kind.OPERATION_KIND_EVACUATE: "compute_rebuild_instance",
    _Kind.OPERATION_KIND_CHANGE_PASSWORD: "compute_set_admin_password",
    _Kind.OPERATION_KIND_TRIGGER_CRASH_DUMP: "compute_trigger_crash_dump",
    _Kind.OPERATION_KIND_LOCK: "api_lock",
    _Kind.OPERATION_KIND_UNLOCK: "api_unlock",
}
_RESULTS = {
    OperationState.OPERATION_STATE_SUCCEEDED: "Success",
    OperationState.OPERATION_STATE_FAILED: "Error",
    OperationState.OPERATION_STATE_CANCELLED: "Error",
}


def _name(operation: Operation) -> str:
    return _ACTIONS.get(operation.kind) or _plain(operation)


def _plain(operation: Operation) -> str:
    return OperationKind.Name(operation.kind).removeprefix("OPERATION_KIND_").lower()


def _changed_at(operation: Operation) -> Timestamp:
    for field in ("finished_at", "started_at"):
        if operation.HasField(field):
            stamp: Timestamp = getattr(operation, field)
            return stamp
    return operation.created_at


class Field(NamedTuple):
    """A field of an action or of its event, the microversion that brought it, and the rule below
    os-instance-actions that shows it; empty for everybody."""

    name: str
    value: Callable[[Operation], Any]
    first: int = 1
    rule: str = ""


def _finished(operation: Operation) -> str | None:
    return times.microseconds(operation.finished_at) if operation.HasField("finished_at") else None


ACTION = (
    Field("action", _name),
    Field("instance_uuid", lambda o: o.instance_id),
    Field("request_id", lambda o: o.request_id),
    Field("user_id", lambda o: o.user_id or None),
    Field("project_id", lambda o: o.project_id or None),
    Field("start_time", lambda o: times.microseconds(o.created_at)),
    Field("message", lambda o: "Error" if o.state == OperationState.OPERATION_STATE_FAILED else None),
    Field("updated_at", lambda o: times.microseconds(_changed_at(o)), 58),
)
EVENT = (
    Field("event", lambda o: _EVENTS.get(o.kind, f"compute_{_plain(o)}_instance")),
    Field("start_time", lambda o: times.microseconds(o.started_at)),
    Field("finish_time", _finished),
    Field("result", lambda o: _RESULTS.get(o.state)),
    Field("traceback", lambda o: o.error or None, rule="events"),
    Field("host", lambda o: o.host or None, 62, "events"),
    Field("hostId", lambda o: host_id(o.project_id, o.host), 62),
    Field("details", lambda o: o.error or None, 84, "events:details"),
)
# The microversions from which everybody sees events, and those of servers that are gone.
_EVENTS_FOR_ALL = 51
_OF_DELETED = 21


def _show(call: ComputeRequest, fields: Iterable[Field], operation: Operation) -> dict[str, Any]:
    return {
        field.name: field.value(operation)
        for field in fields
        if field.first <= call.minor and (not field.rule or call.allows(_RULE + field.rule))
    }


def _action(call: ComputeRequest, operation: Operation) -> dict[str, Any]:
    return _show(call, ACTION, operation)


def _events(call: ComputeRequest, operation: Operation) -> list[dict[str, Any]] | None:
    """The one event of an operation, or None when the caller may not see events."""
    if call.minor < _EVENTS_FOR_ALL and not call.allows(_RULE + "events"):
        return None
    return [_show(call, EVENT, operation)] if operation.HasField("started_at") else []


async def index(call: ComputeRequest) -> object:
    """GET os-instance-actions, up to 2.57: the newest first."""
    return {"instanceActions": [_action(call, operation) for operation in await _all(call)]}


async def page(call: ComputeRequest) -> object:
    """GET os-instance-actions, in pages, from 2.58 on."""
    operations = _between(call, await _all(call))
    marker = call.last("marker")
    if marker:
        requests = [operation.request_id for operation in operations]
        if marker not in requests:
            raise HttpError(400, f"Marker {marker} could not be found.")
        operations = operations[requests.index(marker) + 1 :]
    limit = page_limit(call)
    shown = [_action(call, operation) for operation in operations[:limit]]
    answer: dict[str, Any] = {"instanceActions": shown}
    if len(operations) > limit and shown:
        answer["links"] = next_links(call, shown, shown[-1]["request_id"])
    return answer


async def _find(call: ComputeRequest) -> Instance:
    return await find(call, read_deleted=call.minor >= _OF_DELETED)


async def _all(call: ComputeRequest) -> list[Operation]:
    instance_id = (await _find(call)).id
    found: list[Operation] = []
    request = ListOperationsRequest(instance_id=instance_id, page_size=1000)
    while True:
        answer: ListOperationsResponse = await call.state.operations.ListOperations(
            request, timeout=call.state.timeout
        )
        found.extend(answer.operations)
        if not answer.next_page_token:
            return found
        request = ListOperationsRequest(
            instance_id=instance_id, page_size=1000, page_token=answer.next_page_token
        )


def _between(call: ComputeRequest, operations: list[Operation]) -> list[Operation]:
    since, before = changes.between({name: values[-1] for name, values in call.query.items()})
    return [
        operation
        for operation in operations
        if (since is None or _key(_changed_at(operation)) >= _key(since))
        and (before is None or _key(_changed_at(operation)) <= _key(before))
    ]


def _key(stamp: Timestamp) -> tuple[int, int]:
    return stamp.seconds, stamp.nanos


async def show(call: ComputeRequest) -> object:
    """GET os-instance-actions/{request id}."""
    instance = await _find(call)
    request_id = call.path["id"]
    try:
        answer = await call.state.operations.GetOperation(
            GetOperationRequest(id=request_id, instance_id=instance.id), timeout=call.state.timeout
        )
    except NotFoundError:
        raise HttpError(404, f"Action {request_id} not found") from None
    shown = _action(call, answer.operation)
    events = _events(call, answer.operation)
    if events is not None:
        shown["events"] = events
    return {"instanceAction": shown}


_TIME = p.one({"type": "string", "format": "date-time"})
_LIST_58 = {"limit": p.one(p.LIMIT["items"]), "marker": p.one({"type": "string"}), "changes-since": _TIME}
_PATH = "/servers/{server_id}/os-instance-actions"

ROUTES = (
    Route("GET", _PATH, _RULE + "list", index, last=57),
    Route(
        "GET",
        _PATH,
        _RULE + "list",
        page,
        query=(
            (58, p.query(_LIST_58, strict=True)),
            (66, p.query({**_LIST_58, "changes-before": _TIME}, strict=True)),
        ),
        first=58,
    ),
    Route("GET", _PATH + "/{id}", _RULE + "show", show),
)

"""os-server-external-events: what other services tell about servers.

Nothing of this cloud waits for news of networks, volumes or accelerators: its own roles report. Such an event
is accepted as Nova accepts one that nobody waits for. A power-update acts: the server is started or stopped.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.compute import parameters as p
from gateway.compute.backends import ComputeRequest
from gateway.faults import HttpError
from gateway.requests import Answer
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, ListInstancesRequest
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.failures import NotFoundError, StateConflictError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import OperationKind

_POWER = {
    "POWER_ON": OperationKind.OPERATION_KIND_START,
    "POWER_OFF": OperationKind.OPERATION_KIND_STOP,
}
# Events that say nothing without a tag.
_TAGGED = frozenset({"volume-extended", "power-update", "accelerator-request-bound", "volume-reimaged"})
# As many servers as one page of a list has.
_PAGE = 1000


async def create(call: ComputeRequest) -> object:
    """POST os-server-external-events: what became of each event; 207 unless all were accepted."""
    events: list[dict[str, Any]] = call.body["events"]
    known = await _servers(call, dict.fromkeys(event["server_uuid"] for event in events))
    shown = []
    for event in events:
        code = await _take(call, event, known.get(event["server_uuid"]))
        status = "completed" if code == 200 else "failed"
        shown.append({**event, "status": status, "code": code})
    codes = {event["code"] for event in shown}
    if 200 not in codes:
        raise HttpError(404, "No instances found for any event")
    return Answer({"events": shown}, status=200 if codes == {200} else 207)


async def _servers(call: ComputeRequest, server_ids: Iterable[str]) -> dict[str, Instance]:
    ids = list(server_ids)
    found: dict[str, Instance] = {}
    for start in range(0, len(ids), _PAGE):
        some = ids[start : start + _PAGE]
        answer = await call.state.instances.ListInstances(
            ListInstancesRequest(filter=InstanceFilter(ids=some), page_size=len(some), brief=True),
            timeout=call.state.timeout,
        )
        found |= {instance.id: instance for instance in answer.instances}
    return found


async def _take(call: ComputeRequest, event: Mapping[str, Any], instance: Instance | None) -> int:
    """Accept or refuse one event: its code."""
    if instance is None:
        return 404
    if event["name"] in _TAGGED and not event.get("tag"):
        return 400
    if not instance.host:
        return 422
    if event["name"] != "power-update":
        return 200
    kind = _POWER.get(event.get("tag", ""))
    if kind is None:
        return 400
    try:
        await call.state.operations.StartOperation(
            StartOperationRequest(request_id=call.context.request_id, instance_id=instance.id, kind=kind),
            timeout=call.state.timeout,
        )
    except StateConflictError:
        # It has that power state already, or something else is being done to it: nothing to do, as in Nova.
        return 200
    except NotFoundError:
        return 404
    return 200


# (first minor version, names of events)
_NAMES = (
    (1, ("network-changed", "network-vif-plugged", "network-vif-unplugged", "network-vif-deleted")),
    (51, ("volume-extended",)),
    (76, ("power-update",)),
    (82, ("accelerator-request-bound",)),
    (93, ("volume-reimaged",)),
)


def _rows() -> tuple[tuple[int, Schema], ...]:
    names: list[str] = []
    rows = []
    for first, more in _NAMES:
        names += more
        event = p.record(
            {
                "name": {"type": "string", "enum": list(names)},
                "status": {"type": "string", "enum": ["failed", "completed", "in-progress"]},
                "tag": {"type": "string", "maxLength": 255},
                "server_uuid": p.UUID,
            },
            ("server_uuid", "name"),
        )
        rows.append(
            (first, p.record({"events": {"type": "array", "minItems": 1, "items": event}}, ("events",)))
        )
    return tuple(rows)


ROUTES = (
    Route(
        "POST",
        "/os-server-external-events",
        "os_compute_api:os-server-external-events:create",
        create,
        body=_rows(),
    ),
)

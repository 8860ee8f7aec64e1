"""Operations of the ledger on this host: run by the work table, inside log lines, metrics and context."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import structlog
from prometheus_client import Counter, Histogram

from novamesh.failures import Failure, InvalidArgumentError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.compute.work import WorkKey, WorkTable
from services.mesh import Call, calling_as

log = structlog.get_logger("novamesh.compute")

T = TypeVar("T")

_WORK = Counter("novamesh_compute_work_total", "Operations on guests", ["action", "outcome"])
_SECONDS = Histogram(
    "novamesh_compute_work_seconds",
    "Time that operations on guests took",
    ["action"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
)


class OperationRequest(Protocol):
    """What every request of the ledger has."""

    @property
    def operation_id(self) -> str:
        """The idempotency key."""
        ...

    @property
    def instance(self) -> Instance:
        """The whole record."""
        ...


class OperationRunner:
    """Does the work of a call once, however often the call comes; see `work`."""

    def __init__(self, work: WorkTable) -> None:
        self._work = work

    async def run(self, request: OperationRequest, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, join it, or answer what it gave before.

        Raises what the work raises, InvalidArgumentError for a request that names no operation or no
        instance, NotFoundError when a delete has overtaken it, and UnavailableError once the role stops.
        """
        key = _key(request, call)
        return await self._work.run(request.instance.id, key, _surrounded(request, call, work))

    async def run_last(self, request: OperationRequest, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        """Like `run`, after stopping all other work on the instance and forgetting its results."""
        key = _key(request, call)
        return await self._work.run_last(request.instance.id, key, _surrounded(request, call, work))


def _key(request: OperationRequest, call: Call) -> WorkKey:
    if not request.operation_id:
        raise InvalidArgumentError("operation_id", "The operation has no id.")
    if not request.instance.id:
        raise InvalidArgumentError("instance.id", "No instance was named.")
    return WorkKey(call.method.rpartition("/")[2], request.operation_id)


def _surrounded(
    request: OperationRequest, call: Call, work: Callable[[], Awaitable[T]]
) -> Callable[[], Awaitable[T]]:
    """The work with log lines, metrics and context. It calls others as the cloud, not for the user."""
    action = call.method.rpartition("/")[2]
    context = RequestContext(request_id=call.context.request_id)

    async def perform() -> T:
        outcome = "failed"
        about = log.bind(
            action=action,
            instance=request.instance.id,
            operation=request.operation_id,
            request_id=context.request_id,
        )
        with _SECONDS.labels(action).time():
            try:
                with calling_as(context):
                    result = await work()
                outcome = "done"
            except Failure as failure:
                about.warning("work failed", failure=type(failure).__name__, why=failure.message)
                raise
            finally:
                _WORK.labels(action, outcome).inc()
        about.info("work done")
        return result

    return perform

"""What is being done to guests, and what was done lately.

The ledger may send the same operation again at any time: because its caller
went away, or was killed, or lost patience. So work runs in tasks of its own,
that no caller's end touches; a call for work that is under way joins it; one
for work that is done gets the answer again. A failure isn't remembered: the
next call is another attempt.

Work on one instance is done one piece after another. Deleting is the exception:
it stops whatever is being done to the instance and goes first.

All this is lost with the process, and nothing depends on it then: the driver's
methods end in the same place however often they are called.
"""

import asyncio
import contextvars
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar, cast

import structlog

from novamesh.failures import Failure, NotFoundError, UnavailableError

log = structlog.get_logger("novamesh.compute")

T = TypeVar("T")

# How long finished work is remembered, in seconds: longer than any caller tries again.
MEMORY = 900.0


class WorkKey(NamedTuple):
    """What makes two calls the same work. Work without an operation is joined, but not remembered."""

    method: str
    operation_id: str = ""


@dataclass(slots=True)
class _Entry:
    """One instance."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    running: dict[WorkKey, asyncio.Task[Any]] = field(default_factory=dict)
    results: dict[WorkKey, Any] = field(default_factory=dict)
    touched: float = 0.0
    gone: bool = False


class WorkTable:
    """Work by instance and operation."""

    def __init__(self, memory: float = MEMORY) -> None:
        self._memory = memory
        # In the order of `touched`.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._stopped = False

    async def run(self, instance_id: str, key: WorkKey, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, join it, or answer what it gave before.

        Raises what the work raises, NotFoundError when a delete has overtaken it, and UnavailableError once
        the role stops.
        """
        self._check_stopped()
        entry = self._touch(instance_id)
        if key in entry.results:
            return cast(T, entry.results[key])
        task = entry.running.get(key)
        if task is None:
            if entry.gone:
                raise _overtaken(instance_id)
            task = self._begin(instance_id, entry, key, self._perform(entry, key, work))
        return cast(T, await self._join(instance_id, task))

    async def run_last(self, instance_id: str, key: WorkKey, work: Callable[[], Awaitable[T]]) -> T:
        """Like `run`, after stopping all other work on the instance and forgetting its results.

        Isn't remembered itself: what it has removed may have been made again.
        """
        self._check_stopped()
        entry = self._touch(instance_id)
        task = entry.running.get(key)
        if task is None:
            for other, running in entry.running.items():
                # Another delete ends in the same place as this one.
                if other.method != key.method:
                    running.cancel()
            entry.results.clear()
            task = self._begin(instance_id, entry, key, self._perform(entry, None, work))
        return cast(T, await self._join(instance_id, task))

    def close(self, instance_id: str) -> None:
        """Accept no work but deletion on an instance that is never coming back."""
        self._touch(instance_id).gone = True

    def open(self, instance_id: str) -> None:
        """Accept work again on an instance whose deletion has failed: it may stay after all."""
        self._touch(instance_id).gone = False

    def closed(self, instance_id: str) -> bool:
        """Whether the instance was deleted here lately."""
        entry = self._entries.get(instance_id)
        return entry is not None and entry.gone

    def busy(self, instance_id: str) -> bool:
        """Whether something is being done to it."""
        entry = self._entries.get(instance_id)
        return entry is not None and bool(entry.running)

    def idle_since(self, instance_id: str, moment: float) -> bool:
        """Whether nothing has been done to it since `moment`, in seconds of time.monotonic()."""
        entry = self._entries.get(instance_id)
        return entry is None or (not entry.running and entry.touched < moment)

    async def stop(self) -> None:
        """Stop all work where it is: for the next start to finish. Callers are told to ask again."""
        self._stopped = True
        tasks = [task for entry in self._entries.values() for task in entry.running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise UnavailableError("compute", "The compute role of this host is stopping.")

    def _touch(self, instance_id: str) -> _Entry:
        now = time.monotonic()
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.running or oldest.touched + self._memory > now:
                break
            self._entries.popitem(last=False)
        entry = self._entries.get(instance_id)
        if entry is None:
            entry = self._entries[instance_id] = _Entry()
        else:
            self._entries.move_to_end(instance_id)
        entry.touched = now
        return entry

    def _begin(self, instance_id: str, entry: _Entry, key: WorkKey, work: Any) -> asyncio.Task[Any]:
        # An empty context: the caller's deadline and scope end with the call, the work doesn't.
        task = asyncio.create_task(work, name=f"{key.method} {instance_id}", context=contextvars.Context())
        entry.running[key] = task

        def ended(task: asyncio.Task[Any]) -> None:
            del entry.running[key]
            self._touch(instance_id)
            # Looked at here, so that a failure without a caller left isn't an unseen one.
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, Failure):
                log.error("work failed unexpectedly", method=key.method, instance=instance_id, exc_info=error)

        task.add_done_callback(ended)
        return task

    async def _perform(
        self, entry: _Entry, remembered_as: WorkKey | None, work: Callable[[], Awaitable[Any]]
    ) -> Any:
        async with entry.lock:
            result = await work()
        if remembered_as is not None and remembered_as.operation_id:
            entry.results[remembered_as] = result
        return result

    async def _join(self, instance_id: str, task: asyncio.Task[Any]) -> Any:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if task.cancelled() and not (caller and caller.cancelling()):
                self._check_stopped()
                raise _overtaken(instance_id) from None
            raise


def _overtaken(instance_id: str) -> NotFoundError:
    return NotFoundError("instance", instance_id, f"Instance {instance_id} is being deleted.")

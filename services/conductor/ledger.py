"""The ledger at work: operations are taken up under leases, run, tried again, and let go.

What this conductor accepts it usually holds at once (the accepting transaction writes the lease), so an idle
conductor does nothing and a busy one asks the database for nothing that it knows. A slow sweep finds the
rest: what was put off, what waited for its turn, and what another conductor left behind when its lease ran
out.
"""

import asyncio
import contextvars
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog

from db import leases, operations
from db.database import Database
from db.leases import Postponement
from db.operations import Lease, Work
from db.schema.base import now
from novamesh.failures import Failure, InternalError
from novamesh.types.v1.operation_pb2 import OperationKind
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import metrics
from services.conductor.endings import OvertakenError
from services.conductor.feed import Feeds
from services.conductor.options import ConductorOptions
from services.mesh import calling_as

log = structlog.get_logger("novamesh.conductor")

# Operations claimed in one transaction.
CLAIM = 100
# Seconds that a stop waits for the database to take back the leases; they end by themselves, too.
RELEASE_TIMEOUT = 2.0


class HostDownError(Exception):
    """The host that has to do the work is down: the operation waits for it, however long."""

    def __init__(self, host: str) -> None:
        super().__init__(f"Host {host} is down.")
        self.host = host


class Workflow(Protocol):
    """What one kind of operation consists of."""

    async def run(self, work: Work) -> None:
        """Do it and write its end.

        Raises a transient Failure to be tried again, any other to be given up, HostDownError to wait, and
        OvertakenError when the operation turned out to be somebody else's.
        """
        ...

    async def give_up(self, work: Work, failure: Failure) -> None:
        """Write that it failed for good, and free what it held."""
        ...


@dataclass
class _Held:
    work: Work
    task: "asyncio.Task[None]"
    until: float
    # True once the operation is no longer ours: the task is to end and write nothing.
    lost: bool = False


class Ledger:
    """The operations that one conductor holds."""

    def __init__(
        self,
        database: Database,
        owner: str,
        options: ConductorOptions,
        feeds: Feeds,
        workflows: Mapping[OperationKind.ValueType, Workflow],
    ) -> None:
        self._database = database
        self.owner = owner
        self._options = options
        self._feeds = feeds
        self._workflows = workflows
        self._held: dict[str, _Held] = {}
        self._turns: set[str] = set()
        self._due = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._letting_go: set[asyncio.Task[None]] = set()
        self._running = False

    async def start(self) -> None:
        """Begin to take up operations."""
        self._running = True
        self._loops = [
            asyncio.create_task(loop, context=contextvars.Context())
            for loop in (self._sweep_forever(), self._renew_forever())
        ]

    async def stop(self) -> None:
        """Let go of everything; another conductor, or this one when it starts again, goes on with it."""
        self._running = False
        tasks = [*self._loops, *self._letting_go, *(held.task for held in self._held.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.clear()

    async def release(self) -> None:
        """After `stop`: let others take up at once what this conductor has left, without waiting for the
        leases."""
        try:
            async with asyncio.timeout(RELEASE_TIMEOUT):
                await self._database.write(lambda c: leases.release(c, self.owner, now()))
        except (Failure, TimeoutError) as failure:
            log.info("leases not released", reason=str(failure))

    def lease(self) -> Lease | None:
        """A lease for an operation that is about to be accepted; None when this conductor has enough to
        do."""
        if not self._running or len(self._held) >= self._options.max_operations:
            return None
        return self._new_lease()

    def workflow(self, kind: OperationKind.ValueType) -> Workflow | None:
        """What operations of a kind consist of; None for a kind that isn't done here."""
        return self._workflows.get(kind)

    def take(self, works: Iterable[Work]) -> None:
        """Run operations whose rows say that this conductor holds them."""
        until = time.monotonic() + self._options.operation_lease
        for work in works:
            operation = work.operation
            if operation.id in self._held or not self._running:
                continue
            task = asyncio.create_task(self._run(work), context=contextvars.Context())
            held = self._held[operation.id] = _Held(work, task, until)
            task.add_done_callback(lambda _task, held=held: self._ended(held))  # type: ignore[misc]
        metrics.HELD.set(len(self._held))

    def expect(self, instance_id: str) -> None:
        """An operation was accepted that waits for the one under way on this instance."""
        if any(held.work.operation.instance_id == instance_id for held in self._held.values()):
            self._turns.add(instance_id)
        else:
            self.wake()

    def wake(self) -> None:
        """Something may be due now."""
        self._due.set()

    def interrupt(self, instance_id: str) -> None:
        """A delete or an evacuation was accepted: stop what this conductor does to the instance."""
        for held in self._held.values():
            operation = held.work.operation
            if operation.instance_id == instance_id and operation.kind != operations.DELETE:
                held.lost = True
                held.task.cancel()

    def _new_lease(self) -> Lease:
        return Lease(self.owner, now() + timedelta(seconds=self._options.operation_lease))

    async def _run(self, work: Work) -> None:
        operation = work.operation
        began = time.monotonic()
        context = RequestContext(
            request_id=operation.request_id, user_id=operation.user_id, project_id=operation.project_id
        )
        try:
            with calling_as(context):
                await self._attempt(work)
        except OvertakenError:
            self._held[operation.id].lost = True
        except Exception:
            # The database is away, or this code is wrong. The lease runs out, and then it is tried again.
            log.exception("operation left", operation=operation.id, instance=operation.instance_id)
        finally:
            metrics.SECONDS.labels(metrics.kind_name(operation.kind)).observe(time.monotonic() - began)

    def _ended(self, held: _Held) -> None:
        """A task is done, or was cancelled, perhaps before it began."""
        operation = held.work.operation
        self._held.pop(operation.id, None)
        metrics.HELD.set(len(self._held))
        self._feeds.operations.touch([operation.id])
        if held.lost and self._running:
            task = asyncio.create_task(self._let_go(held.work), context=contextvars.Context())
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)
        elif operation.instance_id in self._turns:
            self._turns.discard(operation.instance_id)
            self.wake()

    async def _attempt(self, work: Work) -> None:
        operation = work.operation
        workflow = self._workflows[operation.kind]
        try:
            await workflow.run(work)
        except HostDownError as down:
            operation.host = down.host
            await self._put_off(work, str(down), self._options.max_retry_interval, counts=False)
        except Failure as failure:
            await self._after(work, workflow, failure)
        except OvertakenError:
            raise
        except Exception as error:
            log.exception("operation broke", operation=operation.id, instance=operation.instance_id)
            broken = InternalError("operation", operation.request_id, "An unexpected error prevented this.")
            broken.__cause__ = error
            await workflow.give_up(work, broken)

    async def _after(self, work: Work, workflow: Workflow, failure: Failure) -> None:
        operation = work.operation
        kind = metrics.kind_name(operation.kind)
        last = operation.attempts >= operation.max_attempts
        if failure.transient and not last:
            wait = min(
                self._options.retry_interval * 2 ** (operation.attempts - 1), self._options.max_retry_interval
            )
            log.info(
                "operation put off",
                operation=operation.id,
                kind=kind,
                attempt=operation.attempts,
                seconds=wait,
                reason=failure.message,
            )
            await self._put_off(work, failure.message, wait)
            return
        log.warning(
            "operation given up",
            operation=operation.id,
            kind=kind,
            instance=operation.instance_id,
            reason=failure.message,
        )
        metrics.GIVEN_UP.labels(kind, type(failure).__name__).inc()
        await workflow.give_up(work, failure)

    async def _put_off(self, work: Work, why: str, seconds: float, *, counts: bool = True) -> None:
        at = now()
        later = Postponement(
            work.operation.id, self.owner, at + timedelta(seconds=seconds), why, work.operation.host, counts
        )
        if await self._database.write(lambda c: leases.postpone(c, later, work.memory, at)):
            asyncio.get_running_loop().call_later(seconds + 0.01, self.wake)
        else:
            raise OvertakenError()

    async def _let_go(self, work: Work) -> None:
        operation = work.operation
        try:
            await self._database.write(lambda c: leases.let_go(c, operation.id, self.owner))
        except Failure as failure:
            # Whoever waits for it waits until the lease runs out.
            log.warning("operation not let go", operation=operation.id, reason=failure.message)
        self._turns.discard(operation.instance_id)
        self.wake()

    async def _sweep_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._options.sweep_interval):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()
            try:
                await self._sweep()
            except Failure as failure:
                log.warning("sweep failed", reason=failure.message)
            except Exception:
                log.exception("sweep failed")

    async def _sweep(self) -> None:
        room = min(CLAIM, self._options.max_operations - len(self._held))
        at = now()
        if room <= 0 or not await self._database.read(lambda c: leases.any_due(c, at)):
            return
        lease = self._new_lease()
        works = await self._database.write(lambda c: leases.claim(c, lease, at, room))
        fresh = [work for work in works if work.operation.id not in self._held]
        if fresh:
            log.debug("operations claimed", count=len(fresh))
        self._feeds.operations.touch([work.operation.id for work in fresh])
        self.take(fresh)
        if len(works) == room:
            self.wake()

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._options.operation_lease / 3)
            held = list(self._held)
            if not held:
                continue
            lease = self._new_lease()
            until = time.monotonic() + self._options.operation_lease
            try:
                kept = await self._database.write(lambda c: leases.renew(c, lease, held))  # noqa: B023
            except Exception as error:
                log.warning("leases not renewed", count=len(held), reason=str(error))
                kept = set()
            else:
                for operation_id in kept & self._held.keys():
                    self._held[operation_id].until = until
                for operation_id in held:
                    if operation_id not in kept and operation_id in self._held:
                        self._lose(self._held[operation_id])
            for one in list(self._held.values()):
                if one.until < time.monotonic():
                    self._lose(one)

    def _lose(self, held: _Held) -> None:
        """The operation was cancelled elsewhere, or is another conductor's now."""
        if not held.lost:
            log.info("operation lost", operation=held.work.operation.id)
            held.lost = True
            held.task.cancel()

"""The list of revocations: followed from the conductor, asked by this identity, handed on to the gateways."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import structlog

from novamesh.conductor.v1.revocation_service_pb2 import WatchRevocationsRequest
from novamesh.failures import DeadlineExceededError, Failure, UnavailableError
from novamesh.identity.v1.token_service_pb2 import WatchRevocationsResponse
from novamesh.tokens import RevocationList
from novamesh.types.v1.identity_pb2 import Revocation, Token

if TYPE_CHECKING:
    from novamesh.conductor.v1.revocation_service_pb2_grpc import RevocationServiceAsyncStub

log = structlog.get_logger("novamesh.identity")

_WATCH_LIFE = 1800.0
_STARTUP_TIMEOUT = 5.0


class FollowedRevocations:
    """Follows the conductor's list from `start` to `stop`, across restarts of the conductor."""

    def __init__(self, records: "RevocationServiceAsyncStub") -> None:
        self._records = records
        self._list = RevocationList()
        # By revision, as far as they are in force: what a gateway that comes anew is given.
        self._in_force: dict[int, Revocation] = {}
        # Counts how often the list was begun anew.
        self._epoch = 0
        self._ready = asyncio.Event()
        self._news = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow; returns at once."""
        self._follower = asyncio.create_task(self._follow(), name="revocations of the conductor")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
            self._follower = None

    async def revokes(self, token: Token) -> bool:
        """True when the token was revoked. Raises UnavailableError when the list was never seen."""
        await self._wait_until_ready()
        return self._list.revokes(token)

    def add(self, revocation: Revocation) -> None:
        """Apply a revocation that this identity had recorded, before the watch brings it."""
        self._list.apply([revocation])

    async def watch(self, after_revision: int) -> AsyncIterator[WatchRevocationsResponse]:
        """What came after a revision, at once, then each batch. Raises UnavailableError like `revokes`."""
        await self._wait_until_ready()
        sent, epoch = after_revision, self._epoch
        reset = sent > self._list.revision
        if reset:
            sent = 0
        while True:
            news = self._news
            if epoch != self._epoch:
                sent, epoch, reset = 0, self._epoch, True
            batch = [r for revision, r in self._in_force.items() if revision > sent]
            sent = self._list.revision
            yield WatchRevocationsResponse(revision=sent, reset=reset, revocations=batch)
            reset = False
            await news.wait()

    async def _wait_until_ready(self) -> None:
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(_STARTUP_TIMEOUT):
                await self._ready.wait()
        except TimeoutError:
            raise UnavailableError("conductor", "The conductor does not answer.", retry_after=1.0) from None

    async def _follow(self) -> None:
        pause = 0.1
        while True:
            try:
                request = WatchRevocationsRequest(after_revision=self._list.revision)
                async for batch in self._records.WatchRevocations(request, timeout=_WATCH_LIFE):
                    self._take(list(batch.revocations), batch.revision, batch.reset)
                    pause = 0.1
            except DeadlineExceededError:
                # The watch's own end.
                pause = 0.1
            except Failure as failure:
                log.warning("conductor lost", reason=failure.message, revision=self._list.revision)
                pause = min(pause * 2, 5.0)
            except Exception:
                # Without this task every later revocation would be missed in silence.
                log.exception("revocation watch failed")
                pause = 5.0
            await asyncio.sleep(pause * random.uniform(0.7, 1.0))  # noqa: S311 - spreads load, guards nothing

    def _take(self, revocations: list[Revocation], revision: int, reset: bool) -> None:
        if reset:
            self._in_force.clear()
            self._epoch += 1
        self._list.apply(revocations, revision, reset)
        for revocation in revocations:
            self._in_force[revocation.revision] = revocation
        now = time.time()
        self._list.prune(now)
        for known in [n for n, r in self._in_force.items() if r.expires_at.seconds <= now]:
            del self._in_force[known]
        self._ready.set()
        # Whoever waits holds the old event; the next wait is on a new one.
        news, self._news = self._news, asyncio.Event()
        news.set()

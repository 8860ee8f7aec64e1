"""The list of revoked tokens, and its watchers."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from db import revocations
from db.database import Database
from novamesh.conductor.v1.revocation_service_pb2 import (
    RecordRevocationRequest,
    RecordRevocationResponse,
    WatchRevocationsRequest,
    WatchRevocationsResponse,
)
from novamesh.types.v1.identity_pb2 import Revocation
from services.mesh import Call

# Seconds after which a watcher looks for revocations that another conductor wrote; its own wake it at once.
LOOK_AGAIN = 2.0


class RevocationFeed:
    """Wakes the watchers when this conductor may have written a revocation."""

    def __init__(self) -> None:
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Something may have been written."""
        # Whoever waits holds the old event; the next wait is on a new one.
        news, self._news = self._news, asyncio.Event()
        news.set()

    def next(self) -> asyncio.Event:
        """Set at the next wake. Take it before looking at the list."""
        return self._news


class RevocationServicer:
    """Answers novamesh.conductor.v1.RevocationService."""

    def __init__(self, database: Database, feed: RevocationFeed, look_again: float = LOOK_AGAIN) -> None:
        self._database = database
        self._feed = feed
        self._look_again = look_again

    async def RecordRevocation(
        self, request: RecordRevocationRequest, call: Call
    ) -> RecordRevocationResponse:
        """Keep a revocation."""
        kept = await self._database.write(lambda c: revocations.record(c, request.revocation))
        self._feed.wake()
        return RecordRevocationResponse(revocation=kept)

    async def WatchRevocations(
        self, request: WatchRevocationsRequest, call: Call
    ) -> AsyncIterator[WatchRevocationsResponse]:
        """What came after a revision, then each new batch."""
        seen, first = request.after_revision, True
        while True:
            news = self._feed.next()
            revision = await self._database.read(revocations.current)
            reset = revision < seen
            if reset:
                seen = 0
            batch = await self._after(seen) if revision > seen else []
            if first or reset or revision > seen:
                # A revision read before the list: what came in between comes again, which does no harm.
                yield WatchRevocationsResponse(revision=revision, reset=reset, revocations=batch)
            seen, first = revision, False
            try:
                async with asyncio.timeout(self._look_again):
                    await news.wait()
            except TimeoutError:
                continue

    async def _after(self, revision: int) -> Sequence[Revocation]:
        return await self._database.read(lambda c: revocations.after(c, revision))

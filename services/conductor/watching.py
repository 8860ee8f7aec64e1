"""What a watcher is sent: everything first, then what changes, in batches."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from services.conductor.feed import Feed


@dataclass(frozen=True)
class Step:
    """One thing to send."""

    revision: int
    # What all messages of this step but the last carry: who resumes from it is sent the whole step again.
    before: int
    # The records that changed; None for all there are.
    ids: list[str] | None


async def follow(feed: Feed, revision: int, interval: float) -> AsyncIterator[Step]:
    """Steps after `revision`, without end. Changes that come within `interval` seconds are one step."""
    feed.watchers += 1
    try:
        while True:
            if not feed.knows(revision):
                revision = feed.revision
                yield Step(revision, 0, None)
            await feed.wait(revision)
            await asyncio.sleep(interval)
            if feed.knows(revision):
                ids = feed.since(revision)
                before, revision = revision, feed.revision
                yield Step(revision, before, ids)
    finally:
        feed.watchers -= 1

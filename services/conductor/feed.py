"""Which records have changed, for those who watch: ids with a revision, in memory.

A revision is this feed's random epoch and a count, so one of another conductor, or of this one before it
was started anew, is told from one of ours, and its owner is sent everything again.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable

_COUNT_BITS = 40
# How many changed records are remembered: who asks for what is older gets everything.
REMEMBERED = 20_000


class Feed:
    """The changes of one kind of record."""

    def __init__(self) -> None:
        self._epoch = (secrets.randbits(22) + 1) << _COUNT_BITS
        self._count = 0
        # Everything up to this count may have been forgotten.
        self._forgotten = 0
        self._changed: OrderedDict[str, int] = OrderedDict()
        self._waiting: set[asyncio.Event] = set()
        self.watchers = 0

    @property
    def revision(self) -> int:
        """Where the feed is now."""
        return self._epoch + self._count

    def touch(self, ids: Iterable[str]) -> None:
        """These have changed, and the change is committed."""
        for one in ids:
            self._count += 1
            self._changed[one] = self._count
            self._changed.move_to_end(one)
        while len(self._changed) > REMEMBERED:
            _, self._forgotten = self._changed.popitem(last=False)
        for event in self._waiting:
            event.set()

    def knows(self, revision: int) -> bool:
        """True when `since` has all that came after that revision."""
        count = revision - self._epoch
        return self._forgotten <= count <= self._count

    def since(self, revision: int) -> list[str]:
        """What has changed after that revision, the oldest change first."""
        count = revision - self._epoch
        found = []
        for one, changed in reversed(self._changed.items()):
            if changed <= count:
                break
            found.append(one)
        found.reverse()
        return found

    async def wait(self, revision: int) -> None:
        """Return once there is something after that revision."""
        while self.revision <= revision:
            event = asyncio.Event()
            self._waiting.add(event)
            try:
                await event.wait()
            finally:
                self._waiting.discard(event)


class Feeds:
    """The feeds of a conductor."""

    def __init__(self) -> None:
        self.hosts = Feed()
        self.instances = Feed()
        self.operations = Feed()

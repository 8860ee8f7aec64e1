"""What other conductors have changed, and hosts that have fallen silent: looked for while somebody
watches."""

from datetime import datetime, timedelta

from db import hosts, instance_queries, operations
from db.database import Database
from db.schema.base import now
from services.conductor.feed import Feeds
from services.conductor.hearing import Hearing

# Seconds by which a look reaches back before the last one: clocks differ, and transactions take their time.
OVERLAP = 5.0


class Others:
    """Puts into the feeds what this conductor did not write."""

    def __init__(self, database: Database, feeds: Feeds, hearing: Hearing) -> None:
        self._database = database
        self._feeds = feeds
        self._hearing = hearing
        self._hosts: dict[str, tuple[int, bool, int]] = {}
        self._instances: dict[str, int] = {}
        self._operations: dict[str, int] = {}
        self._last = now()

    async def look(self) -> None:
        """Once; costs a statement for each kind of record that is watched."""
        since, began = self._last - timedelta(seconds=OVERLAP), now()
        if self._feeds.hosts.watchers:
            await self._look_at_hosts()
        if self._feeds.instances.watchers:
            found = await self._database.read(lambda c: instance_queries.changed_since(c, since))
            self._feeds.instances.touch(_news(self._instances, found))
            self._instances = found
        if self._feeds.operations.watchers:
            found = await self._database.read(lambda c: operations.changed_since(c, since))
            self._feeds.operations.touch(_news(self._operations, found))
            self._operations = found
        # Only now: what a look that failed has missed is for the next.
        self._last = began

    async def _look_at_hosts(self) -> None:
        up_since = self._up_since()
        found = await self._database.read(lambda c: hosts.generations(c, up_since))
        changed = [name for name, seen in found.items() if self._hosts.get(name) != seen]
        self._feeds.hosts.touch([*changed, *(self._hosts.keys() - found.keys())])
        self._hosts = found

    def _up_since(self) -> datetime:
        return self._hearing.up_since(now())


def _news(before: dict[str, int], found: dict[str, int]) -> list[str]:
    return [one for one, generation in found.items() if before.get(one) != generation]

"""Instances read from the conductor, and kept for a moment."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from novamesh.types.v1.instance_pb2 import Instance


class RecentInstances:
    """Instances by what they were asked for; whoever asks while one is being read waits for the same answer.

    What failed is not kept, so that a guest that is faster than its record asks again.
    """

    def __init__(self, lifetime: float, size: int) -> None:
        self._lifetime = lifetime
        self._size = size
        # In the order of their reading, so that the first is the oldest.
        self._kept: dict[str, tuple[float, asyncio.Task[Instance]]] = {}

    async def get(self, key: str, read: Callable[[], Awaitable[Instance]]) -> Instance:
        """The instance; `read` fetches it when it isn't here. Raises what `read` raises."""
        now = monotonic()
        kept = self._kept.get(key)
        if kept is not None and (kept[0] > now or not kept[1].done()):
            return await asyncio.shield(kept[1])
        self._make_room(now)
        task = asyncio.ensure_future(_run(read))
        self._kept.pop(key, None)
        self._kept[key] = (now + self._lifetime, task)
        try:
            return await asyncio.shield(task)
        except BaseException:
            if self._kept.get(key, (0.0, None))[1] is task:
                del self._kept[key]
            raise

    def forget(self, instance_id: str) -> None:
        """Read this instance anew when it is asked for again."""
        for key, (_, task) in list(self._kept.items()):
            read = task.done() and not task.cancelled() and not task.exception()
            if read and task.result().id == instance_id:
                del self._kept[key]

    def _make_room(self, now: float) -> None:
        for key in list(self._kept):
            if len(self._kept) < self._size and self._kept[key][0] > now:
                return
            del self._kept[key]


async def _run(read: Callable[[], Awaitable[Instance]]) -> Instance:
    return await read()

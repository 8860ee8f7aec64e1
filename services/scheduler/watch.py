"""Keeps the picture of the hosts up to date from the conductor's watch stream."""

import asyncio
import random
import time
from collections.abc import Callable

import grpc.aio
import structlog

from novamesh.conductor.v1.host_service_pb2 import WatchHostsRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import Failure
from services.scheduler.hosts import HostTable
from services.scheduler.proposals import Proposals

log = structlog.get_logger("novamesh.scheduler")

# Seconds between attempts to reach a conductor: doubled from the first to the last, with jitter.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class HostWatcher:
    """Follows WatchHosts, from the last revision seen when it has to begin again.

    `ready` is set once a whole snapshot is in. While no conductor answers, the
    picture stays as it was: it is only a proposal that comes of it.
    """

    def __init__(
        self, channel: Callable[[], grpc.aio.Channel], hosts: HostTable, proposals: Proposals
    ) -> None:
        self._channel = channel
        self._hosts = hosts
        self._proposals = proposals
        self._revision = 0
        self._task: asyncio.Task[None] | None = None
        self.ready = asyncio.Event()

    def start(self) -> None:
        """Begin to follow, in the background."""
        self._task = asyncio.create_task(self._follow_for_ever(), name="watch hosts")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _follow_for_ever(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = time.monotonic()
            try:
                await self._follow()
                why = "the stream ended"
            except Failure as failure:
                why = failure.message
            except Exception:
                # A watcher that dies would leave the scheduler blind without anybody noticing.
                log.exception("host watch failed")
                why = "a mistake, see the log"
            if time.monotonic() - began > LONGEST_PAUSE:
                pause = FIRST_PAUSE
            log.info("host watch interrupted", why=why, revision=self._revision, again_in=round(pause, 2))
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _follow(self) -> None:
        stub = HostServiceStub(self._channel())
        stream = stub.WatchHosts(WatchHostsRequest(revision=self._revision))
        # Hosts that were sent since the last snapshot ended.
        seen: set[str] = set()
        current = False
        async for message in stream:
            self._proposals.apply(message.hosts, message.removed)
            seen.update(host.name for host in message.hosts)
            seen.difference_update(message.removed)
            if message.snapshot_end:
                self._drop_all_but(seen)
                seen.clear()
                current = True
                log.info("host snapshot complete", hosts=len(self._hosts), revision=message.revision)
                self.ready.set()
            # Before its first snapshot_end a stream may be a snapshot, of which a part is worth nothing
            # later: who resumed from its revision would never see the rest.
            self._revision = message.revision if current else 0

    def _drop_all_but(self, seen: set[str]) -> None:
        gone = [name for name in self._hosts.names if name not in seen]
        if gone:
            self._proposals.apply((), gone)

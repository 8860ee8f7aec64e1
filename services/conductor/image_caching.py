"""Images fetched into hosts' caches before a guest needs them: a favour, which nobody waits for and no ledger
remembers."""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Iterable, Sequence

import structlog

from db import hosts
from db.database import Database
from db.schema.base import now
from novamesh.compute.v1.host_service_pb2 import CacheImagesRequest, CacheOutcome
from novamesh.compute.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import Failure
from novamesh.types.v1.host_pb2 import Host
from services.conductor.hearing import Hearing
from services.conductor.options import ConductorOptions
from services.mesh import Node

log = structlog.get_logger("novamesh.conductor")

SKIPPED = "skipped"


class ImageCaching:
    """Asks hosts to fetch images, `precache_concurrency` hosts at a time in all."""

    def __init__(self, node: Node, database: Database, options: ConductorOptions, hearing: Hearing) -> None:
        self._node = node
        self._database = database
        self._options = options
        self._hearing = hearing
        self._places = asyncio.Semaphore(options.precache_concurrency)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, names: Iterable[str], image_ids: Iterable[str]) -> None:
        """Have these hosts fetch these images, in the background."""
        work = self._cache(list(names), list(image_ids))
        # Not the user's wish any more: neither their deadline nor their name goes along.
        task = asyncio.create_task(work, name="cache images", context=contextvars.Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Give up what is under way; hosts finish the image that they are at."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _cache(self, names: Sequence[str], image_ids: Sequence[str]) -> None:
        up_since = self._hearing.up_since(now())
        try:
            found = await self._database.read(lambda c: hosts.get_many(c, names, up_since))
        except Failure as failure:
            log.warning("images not cached", images=image_ids, reason=failure.message)
            return
        outcomes = await asyncio.gather(*(self._ask(host, image_ids) for host in found))
        counts = Counter(outcome for each in outcomes for outcome in each)
        log.info("images cached", images=image_ids, hosts=len(found), **counts)

    async def _ask(self, host: Host, image_ids: Sequence[str]) -> list[str]:
        """What became of each image."""
        if not host.up:
            return [SKIPPED] * len(image_ids)
        stub = HostServiceStub(self._node.channel_to(host.address, "compute", host.name))
        request = CacheImagesRequest(image_ids=image_ids)
        async with self._places:
            try:
                answer = await stub.CacheImages(request, timeout=self._options.build_timeout)
            except Failure as failure:
                log.warning("host did not cache images", host=host.name, reason=failure.message)
                return ["error"] * len(image_ids)
        return [
            _word(answer.outcomes.get(image_id, CacheOutcome.CACHE_OUTCOME_UNSPECIFIED))
            for image_id in image_ids
        ]


def _word(outcome: CacheOutcome.ValueType) -> str:
    return CacheOutcome.Name(outcome).removeprefix("CACHE_OUTCOME_").lower()

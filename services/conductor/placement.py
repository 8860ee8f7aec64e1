"""Find hosts for new instances: many at once, in one proposal of the scheduler and one claiming transaction.

While one batch is proposed and claimed, the next gathers. The scheduler only proposes; the claim is a
conditional write, and an instance whose hosts were all taken meanwhile is proposed for again.
"""

import asyncio
import contextvars
from collections.abc import Sequence
from dataclasses import dataclass, field

from db.operations import Work
from db.schema.base import now
from novamesh.errors.v1.errors_pb2 import FilterRefusal
from novamesh.failures import Failure, InternalError, NoValidHostError
from novamesh.scheduler.v1.destination_service_pb2 import (
    Destination,
    RequestSpec,
    SelectDestinationsRequest,
)
from novamesh.scheduler.v1.destination_service_pb2_grpc import DestinationServiceStub
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import claims, hints
from services.conductor.claims import Claim
from services.conductor.edits import PINNED_ZONE
from services.conductor.endings import OvertakenError
from services.conductor.workflows.ground import Ground

# Instances claimed in one transaction: more would keep the database, or on SQLite the loop, too long.
BATCH = 64
# How often one instance may lose its proposed hosts to others before it is told that there is no host.
ROUNDS = 7
# How often the scheduler has to say that there is no host: its picture lags behind deletes.
REFUSALS = 2
IMAGE_PREFIX = "image_"
# Where an operation remembers the one host that may take its instance.
REQUESTED_HOST = "requested_host"


@dataclass(eq=False)
class _Wish:
    work: Work
    instance: Instance
    placed: "asyncio.Future[tuple[Instance, Host]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    rounds: int = 0
    refusals: int = 0

    def refuse(self, failure: BaseException) -> None:
        if not self.placed.done():
            self.placed.set_exception(failure)


class Placer:
    """Places the instances of one conductor."""

    def __init__(self, ground: Ground) -> None:
        self._node = ground.node
        self._database = ground.database
        self._options = ground.options
        self._feeds = ground.feeds
        self._hearing = ground.hearing
        self._owner = ground.owner
        self._wishes: list[_Wish] = []
        self._running: asyncio.Task[None] | None = None

    async def place(self, work: Work, instance: Instance) -> tuple[Instance, Host]:
        """The instance as it is on its host, with its interfaces, and the host.

        Raises NoValidHostError, ResourceExhaustedError (fixed_ips), InvalidArgumentError (address),
        OvertakenError when the operation is this conductor's no more, and what the scheduler fails with.
        """
        wish = _Wish(work, instance)
        self._wish(wish)
        return await wish.placed

    def _wish(self, wish: _Wish) -> None:
        self._wishes.append(wish)
        if self._running is None or self._running.done():
            # On nobody's behalf: the batch is many users'.
            self._running = asyncio.create_task(self._run(), context=contextvars.Context())

    async def _run(self) -> None:
        while self._wishes:
            # Whoever is ready to ask now is served in the same batch.
            await asyncio.sleep(0)
            batch, self._wishes = self._wishes[:BATCH], self._wishes[BATCH:]
            groups: dict[bytes, list[_Wish]] = {}
            for wish in batch:
                if not wish.placed.done():
                    groups.setdefault(_likeness(wish), []).append(wish)
            await asyncio.gather(*(self._place(group) for group in groups.values()))

    async def _place(self, group: list[_Wish]) -> None:
        try:
            await self._propose_and_claim(group)
        except Exception as error:
            failure = error if isinstance(error, Failure) else InternalError("placement")
            if failure is not error:
                failure.__cause__ = error
            for wish in group:
                wish.refuse(failure)

    async def _propose_and_claim(self, group: list[_Wish]) -> None:
        stub = DestinationServiceStub(self._node.channel("scheduler"))
        spec = spec_of(group)
        if spec.scheduler_hints:
            spec = await self._database.read(lambda c: hints.complete(c, spec))
        request = SelectDestinationsRequest(spec=spec, alternates=self._options.alternates)
        answer = await stub.SelectDestinations(request, timeout=self._options.call_timeout)
        proposed = {one.instance_id: one for one in answer.destinations}
        by_id = {wish.instance.id: wish for wish in group}
        wanted = [claim for wish in group if (claim := self._claim(wish, proposed.get(wish.instance.id)))]
        if not wanted:
            return
        at = now()
        up_since = self._hearing.up_since(at)
        done = await self._database.write(
            lambda c: claims.claim(c, self._owner, wanted, at, up_since),
        )
        self._feeds.hosts.touch({host.name for _, host in done.placed.values()})
        self._feeds.instances.touch(done.placed)
        for instance_id, placed in done.placed.items():
            if not by_id[instance_id].placed.done():
                by_id[instance_id].placed.set_result(placed)
        for instance_id, failure in done.failed.items():
            by_id[instance_id].refuse(failure)
        for instance_id in done.overtaken:
            by_id[instance_id].refuse(OvertakenError())
        for instance_id in done.refused:
            self._ask_again(by_id[instance_id])

    def _ask_again(self, wish: _Wish) -> None:
        wish.rounds += 1
        if wish.rounds < ROUNDS:
            # Who got there first must have reached the scheduler's picture, or it proposes the same again.
            pause = self._options.watch_interval * 2**wish.rounds
            if wish.rounds == ROUNDS - 1:
                # It may have been at another conductor, of which this scheduler hears only so often.
                pause = max(pause, 2 * self._options.poll_interval)
            asyncio.get_running_loop().call_later(pause, self._wish, wish)
        else:
            wish.refuse(NoValidHostError([FilterRefusal(filter="Claim", before=1, after=0)]))

    def _claim(self, wish: _Wish, proposed: Destination | None) -> Claim | None:
        if proposed is not None and proposed.hosts:
            cards = wish.work.memory.get("cards", ())
            return Claim(wish.work.operation.id, wish.instance.id, list(proposed.hosts), cards)
        wish.refusals += 1
        if wish.refusals < REFUSALS:
            # Room that was given back a moment ago is not in the picture yet.
            pause = 4 * self._options.watch_interval
            asyncio.get_running_loop().call_later(pause, self._wish, wish)
        else:
            wish.refuse(NoValidHostError(proposed.refusals if proposed else ()))
        return None


def _likeness(wish: _Wish) -> bytes:
    """What two wishes have in common when one proposal serves both."""
    alone = spec_of([wish])
    alone.ClearField("instance_ids")
    return alone.SerializeToString(deterministic=True)


def spec_of(group: Sequence[_Wish]) -> RequestSpec:
    """What the scheduler has to know of like instances."""
    first = group[0]
    spec = spec_for(first.instance, first.work.memory.get("tried", ()))
    spec.forced_host = first.instance.forced_host
    spec.requested_host = first.work.memory.get(REQUESTED_HOST, "")
    spec.instance_ids[:] = [wish.instance.id for wish in group]
    return spec


def spec_for(instance: Instance, tried: Sequence[str]) -> RequestSpec:
    """What the scheduler has to know of one instance, wherever it is now. Where an administrator has once
    forced it to is no part of that."""
    return RequestSpec(
        instance_ids=[instance.id],
        project_id=instance.project_id,
        flavor=instance.flavor,
        # The zone that it is in may be where an earlier attempt failed; the one asked for is pinned.
        availability_zone=instance.system_metadata.get(PINNED_ZONE, ""),
        tried_hosts=tried,
        image_properties={
            key.removeprefix(IMAGE_PREFIX): value
            for key, value in instance.system_metadata.items()
            if key.startswith(IMAGE_PREFIX)
        },
        scheduler_hints=instance.scheduler_hints,
    )

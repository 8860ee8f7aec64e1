"""Find another host, or the same one, for an instance that is on a host already.

The scheduler proposes and the claim settles, as for new instances (placement.py); but each instance is
asked for alone, and it keeps the room that it has.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from db import hosts, instances, leases, server_groups
from db.database import Connection
from db.hosts import Size
from db.operations import Work
from db.schema.base import now
from novamesh.errors.v1.errors_pb2 import FilterRefusal
from novamesh.failures import NoValidHostError
from novamesh.scheduler.v1.destination_service_pb2 import Destination, SelectDestinationsRequest
from novamesh.scheduler.v1.destination_service_pb2_grpc import DestinationServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import hints
from services.conductor.endings import OvertakenError
from services.conductor.placement import REFUSALS, ROUNDS, spec_for
from services.conductor.workflows.ground import Ground


@dataclass(frozen=True)
class Wanted:
    """What a destination has to be."""

    flavor: Flavor
    """The size that is claimed."""
    able: Callable[[Host], bool]
    """Whether a host's driver can do it."""
    requested_host: str = ""
    """The only host that will do; it must pass all filters."""
    excluded: Sequence[str] = ()
    """Hosts that won't do."""


class Destinations:
    """Chooses and claims destinations."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def claim(
        self,
        work: Work,
        instance: Instance,
        wanted: Wanted,
        settle: Callable[[Connection, Instance, Host], None],
    ) -> Host:
        """Claim room of the wanted size; `settle` writes, in the same transaction, what that makes of the
        instance, which is locked and saved afterwards.

        Raises NoValidHostError, OvertakenError when the operation is this conductor's no more, and what the
        scheduler fails with.
        """
        unable: list[str] = []
        refusals, rounds = 0, 0
        while True:
            proposed = await self._propose(instance, wanted, unable)
            if not proposed.hosts:
                refusals += 1
                if refusals >= REFUSALS:
                    raise NoValidHostError(proposed.refusals)
                await asyncio.sleep(4 * self._ground.options.watch_interval)
                continue
            claimed, without = await self._settle(work, proposed.hosts, wanted, settle)
            if claimed is not None:
                self._ground.feeds.hosts.touch([claimed.name])
                self._ground.feeds.instances.touch([instance.id])
                return claimed
            unable += without
            rounds += not without
            if rounds >= ROUNDS:
                raise NoValidHostError([FilterRefusal(filter="Claim", before=1, after=0)])
            await asyncio.sleep(self._ground.options.watch_interval * 2**rounds)

    async def _propose(self, instance: Instance, wanted: Wanted, unable: Sequence[str]) -> Destination:
        spec = spec_for(instance, [*wanted.excluded, *unable])
        spec.flavor.CopyFrom(wanted.flavor)
        spec.requested_host = wanted.requested_host
        if spec.scheduler_hints:
            whole = spec
            spec = await self._ground.database.read(lambda c: hints.complete(c, whole))
        stub = DestinationServiceStub(self._ground.node.channel("scheduler"))
        answer = await stub.SelectDestinations(
            SelectDestinationsRequest(spec=spec, alternates=self._ground.options.alternates),
            timeout=self._ground.options.call_timeout,
        )
        return answer.destinations[0] if answer.destinations else Destination()

    async def _settle(
        self,
        work: Work,
        proposed: Sequence[str],
        wanted: Wanted,
        settle: Callable[[Connection, Instance, Host], None],
    ) -> tuple[Host | None, list[str]]:
        """The host that was claimed, or None; and those of the proposed ones whose drivers can't do it."""
        at = now()
        up_since = self._ground.hearing.up_since(at)
        size = Size.of(wanted.flavor)

        def claim(connection: Connection) -> tuple[Host | None, list[str]]:
            locked = instances.lock(connection, work.operation.instance_id)
            if not leases.held_among(connection, [work.operation.id], self._ground.owner):
                raise OvertakenError()
            places = server_groups.lock_places(connection, [locked.id]).get(locked.id)
            known = {host.name: host for host in hosts.get_many(connection, proposed, up_since)}
            without = [name for name, host in known.items() if not wanted.able(host)]
            for name in proposed:
                host = known.get(name)
                if host is None or name in without or (places is not None and not places.admits(name)):
                    continue
                if hosts.claim(connection, name, size, host.availability_zone):
                    settle(connection, locked, host)
                    instances.save(connection, locked, at)
                    return host, []
            return None, without

        return await self._ground.database.write(claim)

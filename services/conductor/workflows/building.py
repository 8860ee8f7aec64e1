"""Place an instance and have a host build it; on another host when one fails, until none is left to try.

What is tried where is kept in the operation's memory: `tries` on this host, `tried` hosts, and what the last
one said.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog

from db import instances, interfaces, leases
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2 import (
    BuildInstanceRequest,
    BuildInstanceResponse,
    DeleteInstanceRequest,
)
from novamesh.failures import (
    Failure,
    ImageUnacceptableError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import claims
from services.conductor.endings import OvertakenError
from services.conductor.faults import for_users
from services.conductor.placement import Placer
from services.conductor.workflows.ground import Ground

log = structlog.get_logger("novamesh.conductor")

# No other host would make it better.
_FINAL = (ImageUnacceptableError, InvalidArgumentError, NotFoundError)
# How often one host is asked when it, or what it needs, does not answer: 15 s with the default pauses, in
# which a compute role that died is back.
TRIES_ON_A_HOST = 5


def _as_it_is(instance: Instance) -> Instance:
    return instance


@dataclass(frozen=True)
class Plan:
    """What one kind of work adds to placing and building."""

    to_place: Callable[[Instance], Instance] = _as_it_is
    """The instance as the scheduler is to see it, a message of its own."""
    to_build: Callable[[Instance], Instance] = _as_it_is
    """The instance as the host is to see it."""
    leave: Callable[[Connection, Instance, datetime], None] = claims.leave_host
    """Writes that it is on no host any more."""


@dataclass(frozen=True)
class Built:
    """An instance that a host has built, and what the host says."""

    instance: Instance
    host: Host
    answer: BuildInstanceResponse


class Building:
    """See the module. Every method may be called again."""

    def __init__(self, ground: Ground, placer: Placer) -> None:
        self._ground = ground
        self._placer = placer

    async def somewhere(self, work: Work, instance: Instance, host: Host | None, plan: Plan) -> Built:
        """Build it on the host that it is on already, or on the first one that manages to.

        Raises NoValidHostError, ResourceExhaustedError (hosts) when enough of them have failed,
        OvertakenError, a transient failure to be tried again, and what no other host would make better.
        """
        while True:
            if host is None:
                instance, host = await self._placer.place(work, plan.to_place(instance))
            work.operation.host = host.name
            try:
                answer = await self._build(work, plan.to_build(instance), host)
            except Failure as failure:
                await self._elsewhere(work, instance, host, failure, plan)
                instance, host = await self._ground.read(instance.id)
            else:
                return Built(instance, host, answer)

    async def clear(self, work: Work, instance: Instance, host: Host) -> None:
        """Remove what a failed build may have left. A host that doesn't answer does it when it is back."""
        try:
            await self._ground.lifecycle(host).DeleteInstance(
                DeleteInstanceRequest(operation_id=work.operation.id, instance=instance),
                timeout=self._ground.options.call_timeout,
            )
            await self._ground.unplug(instance, host)
        except Failure as failure:
            log.warning("host not cleared", instance=instance.id, host=host.name, reason=failure.message)

    async def check_held(self, work: Work) -> None:
        """Who lost the operation must not clear the host on which another builds by now.

        Raises OvertakenError.
        """
        wanted, owner = [work.operation.id], self._ground.owner
        if not await self._ground.database.read(lambda c: leases.held_among(c, wanted, owner)):
            raise OvertakenError()

    async def _build(self, work: Work, instance: Instance, host: Host) -> BuildInstanceResponse:
        await self._ground.plug(instance, host)
        request = BuildInstanceRequest(operation_id=work.operation.id, instance=instance)
        return await self._ground.lifecycle(host).BuildInstance(
            request, timeout=self._ground.options.build_timeout
        )

    async def _elsewhere(
        self, work: Work, instance: Instance, host: Host, failure: Failure, plan: Plan
    ) -> None:
        """Give the host up so that another is tried; raises `failure` when it is not to be."""
        if isinstance(failure, _FINAL):
            raise failure
        tries = work.memory.get("tries", 0) + 1
        if isinstance(failure, UnavailableError) and tries < TRIES_ON_A_HOST and not host.forced_down:
            work.memory["tries"] = tries
            raise failure
        tried = [*work.memory.get("tried", ()), host.name]
        work.memory |= {"tried": tried, "tries": 0, "last": f"{host.name}: {failure.message}"}
        work.memory["reason"] = for_users(failure)
        log.warning(
            "build failed on a host",
            instance=instance.id,
            host=host.name,
            reason=failure.message,
            tried=len(tried),
        )
        if len(tried) >= self._ground.options.max_attempts:
            # Final, whatever the host said.
            raise ResourceExhaustedError(
                "hosts", f"Exceeded maximum number of retries: {len(tried)} hosts failed."
            )
        await self.check_held(work)
        await self.clear(work, instance, host)
        at = now()
        if not await self._ground.database.write(lambda c: self._leave(c, work, plan, at)):
            raise OvertakenError()
        self._ground.feeds.hosts.touch([host.name])

    def _leave(self, connection: Connection, work: Work, plan: Plan, at: datetime) -> bool:
        instance = instances.lock(connection, work.operation.instance_id)
        if not leases.remember(connection, work, self._ground.owner, at):
            return False
        plan.leave(connection, instance, at)
        interfaces.move(connection, instance.id, "")
        return True


def told(work: Work, failure: Failure) -> tuple[str, str]:
    """What users are told of a build that failed, and what administrators are, who may know the hosts."""
    tried = work.memory.get("tried", ())
    if not tried:
        return for_users(failure), failure.message
    last = work.memory.get("last", "")
    return (
        f"{for_users(failure)} The last host that was tried: {work.memory.get('reason', '')}",
        f"{failure.message} Tried: {', '.join(tried)}. The last one said: {last}",
    )

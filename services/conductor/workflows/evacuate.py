"""Evacuation: the instance's host is down, so it is built anew on another, with its image and its addresses.

    accepted        a destination is claimed
    pre-migrating   the instance is the destination's, which builds the guest
    done            the guest runs; the old host has still what it had
    completed       the old host is back, and has removed that

A destination that fails is given up for another, until as many have failed as may. Then the instance is in
ERROR on its old host, from where it may be evacuated again.
"""

from collections.abc import Callable

import structlog

from db import hosts, instance_migrations
from db.database import Connection
from db.operations import Work
from db.schema.base import now, timestamp
from novamesh.compute.v1.lifecycle_service_pb2 import (
    BuildInstanceRequest,
    DeleteInstanceRequest,
    StopInstanceRequest,
)
from novamesh.failures import (
    Failure,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.conductor import endings, moves, states
from services.conductor.destinations import Destinations, Wanted
from services.conductor.endings import Ending, OvertakenError
from services.conductor.faults import for_users
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_migration import cards_at
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import SHELVED_IMAGE, OperationImages
from services.conductor.workflows.shelve import SHELVED_KEYS, from_its_image

log = structlog.get_logger("novamesh.conductor")

EVACUATION = MigrationType.MIGRATION_TYPE_EVACUATION
DONE = MigrationStatus.MIGRATION_STATUS_DONE
# How often a destination is asked that doesn't answer.
TRIES_ON_A_HOST = 5
# The key of the work's memory for the host that a move under way had made ready.
LEFT = "left"

Settle = Callable[[Connection, Instance, Host], None]


class EvacuateWorkflow:
    """See the module."""

    def __init__(self, ground: Ground, images: OperationImages) -> None:
        self._ground = ground
        self._images = images
        self._destinations = Destinations(ground)

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Make sure that the host is down, and make the migration. What was under way is over.

        Raises InvalidArgumentError (instance_id, host) and NotFoundError (host).
        """
        instance, name = asked.instance, asked.operation.arguments.migrate.host
        up_since = self._ground.hearing.up_since(asked.at)
        known = {host.name: host for host in hosts.get_many(connection, [instance.host, name], up_since)}
        if not instance.host:
            raise InvalidArgumentError("instance_id", f"Instance {instance.id} is on no host.")
        if name and name not in known:
            raise NotFoundError("host", name, f"Compute host {name} not found.")
        if name == instance.host:
            raise InvalidArgumentError("host", "The target host can't be the same one.")
        if instance.host in known and known[instance.host].up:
            raise InvalidArgumentError("instance_id", "Compute service of the server's host is still in use.")
        left = moves.abandon(connection, instance, asked.at)
        if left not in ("", instance.host):
            asked.memory[LEFT] = left
        moves.begin(connection, asked, EVACUATION, instance.flavor)

    async def run(self, work: Work) -> None:
        """Have another host build it."""
        while True:
            migration = await self._migration(work)
            if migration.status == moves.ACCEPTED:
                await self._clear_left(work)
                await self._choose(work, migration)
            instance, destination = await self._ground.read(work.operation.instance_id)
            if instance.vm_state == states.DELETED:
                raise OvertakenError()
            work.operation.host = instance.host
            try:
                power_state = await self._build(work, instance, destination)
            except Failure as failure:
                await self._elsewhere(work, instance, destination, failure)
            else:
                break
        await self._finish(work, instance, power_state)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason, and on the old host again."""
        migration = await self._migration(work)
        if moves.gone(migration):
            instance, destination = await self._ground.read(work.operation.instance_id)
            await self._leave(work, instance, destination)
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = states.ERROR
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))
            moves.close(connection, locked, self._lock(connection, work), moves.ERROR, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change), host=migration.held_host)

    async def _clear_left(self, work: Work) -> None:
        """Remove what the move that this has ended made ready on another host, which may be chosen now."""
        if LEFT not in work.memory:
            return
        instance, _ = await self._ground.read(work.operation.instance_id)
        await self._clear(work, instance, await self._ground.host(work.memory[LEFT]))

    async def _choose(self, work: Work, migration: Migration) -> None:
        """Claim a destination; the instance is its own from then on."""
        instance, _ = await self._ground.read(work.operation.instance_id)
        arguments = work.operation.arguments.migrate
        old = migration.source_compute

        def settle(connection: Connection, locked: Instance, destination: Host) -> None:
            made = self._lock(connection, work)
            moves.choose(made, destination)
            moves.go(connection, locked, made, destination)
            instance_migrations.save(connection, made, now())

        if arguments.force:
            await self._force(work, arguments.host, settle)
            return
        excluded = [old, *work.memory.get("tried", ())]
        wanted = Wanted(instance.flavor, lambda host: host.name != old, arguments.host, excluded)
        await self._destinations.claim(work, instance, wanted, settle)

    async def _force(self, work: Work, name: str, settle: Settle) -> None:
        """Claim a host without asking the scheduler."""
        host = await self._ground.host(name)
        if host is None or not host.up or name in work.memory.get("tried", ()):
            raise ResourceExhaustedError("host", "The host that was asked for can't take the server.")

        def claim(connection: Connection, locked: Instance) -> None:
            if not hosts.claim(connection, name, hosts.Size.of(locked.flavor)):
                raise ResourceExhaustedError("host", "The host that was asked for has no room.")
            settle(connection, locked, host)

        await self._ground.advance(work, claim, host=name)

    async def _build(self, work: Work, instance: Instance, destination: Host | None) -> PowerState.ValueType:
        if destination is None or not destination.up:
            raise UnavailableError(f"compute/{instance.host}", "The destination is down.")
        await self._ground.plug(instance, destination)
        lifecycle = self._ground.lifecycle(destination)
        built = await lifecycle.BuildInstance(
            BuildInstanceRequest(operation_id=work.operation.id, instance=await self._to_build(instance)),
            timeout=self._ground.options.build_timeout,
        )
        if await self._stays_off(work):
            stopped = await lifecycle.StopInstance(
                StopInstanceRequest(operation_id=work.operation.id, instance=instance),
                timeout=self._ground.options.action_timeout,
            )
            return stopped.power_state
        return built.power_state

    async def _to_build(self, instance: Instance) -> Instance:
        """What shelving kept is the newest that there is of a shelved server whose state was reset."""
        shelved = instance.system_metadata.get(SHELVED_IMAGE, "")
        if shelved and await self._images.find(shelved) is not None:
            return from_its_image(instance)
        return instance

    async def _stays_off(self, work: Work) -> bool:
        """Whether it was off, or is to be."""
        migration = await self._migration(work)
        return work.operation.arguments.migrate.stopped or migration.old_vm_state == states.STOPPED

    async def _elsewhere(
        self, work: Work, instance: Instance, destination: Host | None, failure: Failure
    ) -> None:
        """Give the destination up so that another is tried; raises `failure` when it is not to be."""
        tries = work.memory.get("tries", 0) + 1
        asked_again = destination is not None and destination.up and tries < TRIES_ON_A_HOST
        if isinstance(failure, UnavailableError) and asked_again:
            work.memory["tries"] = tries
            raise failure
        tried = [*work.memory.get("tried", ()), instance.host]
        work.memory |= {"tried": tried, "tries": 0}
        log.warning(
            "evacuation failed on a host", instance=instance.id, host=instance.host, reason=failure.message
        )
        await self._leave(work, instance, destination)
        if work.operation.arguments.migrate.host or len(tried) >= self._ground.options.max_attempts:
            raise ResourceExhaustedError("hosts", f"The server could not be evacuated. {for_users(failure)}")

    async def _leave(self, work: Work, instance: Instance, destination: Host | None) -> None:
        """Go back to the old host, on which it doesn't run. What the destination has is removed, by itself
        if it doesn't answer now."""
        await self._clear(work, instance, destination)
        old = (await self._migration(work)).source_compute
        source = await self._ground.host(old) or Host(name=old)

        def leave(connection: Connection, locked: Instance) -> None:
            migration = self._lock(connection, work)
            moves.come_back(connection, locked, migration, source)
            hosts.release(connection, migration.held_host, hosts.Size.of(migration.held_flavor))
            migration.status = moves.ACCEPTED
            for name in ("held_host", "held_flavor", "dest_compute", "dest_node", "dest_host"):
                migration.ClearField(name)
            instance_migrations.save(connection, migration, now())

        await self._ground.advance(work, leave, host=instance.host)

    async def _clear(self, work: Work, instance: Instance, host: Host | None) -> None:
        """Remove what a host has of the instance. One that doesn't answer does it when it is back."""
        if host is None or not host.up:
            return
        request = DeleteInstanceRequest(operation_id=work.operation.id, instance=instance)
        try:
            await self._ground.lifecycle(host).DeleteInstance(
                request, timeout=self._ground.options.call_timeout
            )
            await self._ground.unplug(cards_at(instance, host.name), host)
        except Failure as failure:
            log.warning("host not cleared", instance=instance.id, host=host.name, reason=failure.message)

    async def _finish(self, work: Work, instance: Instance, power_state: PowerState.ValueType) -> None:
        off = await self._stays_off(work)
        migration = await self._migration(work)
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.EVACUATE, power_state)
            locked.vm_state = states.STOPPED if off else states.ACTIVE
            locked.launched_at.CopyFrom(timestamp(at))
            locked.progress = 0
            locked.ClearField("fault")
            for key in SHELVED_KEYS:
                locked.system_metadata.pop(key, None)
            moves.close(connection, locked, self._lock(connection, work), DONE, at)

        end = endings.succeeded(work.operation.id, self._ground.owner, instance.host)
        await self._ground.end(Ending(end, instance.id, at, change), host=migration.held_host)
        try:
            # Of snapshots that were under way on the old host, and what shelving kept.
            await self._images.remove_of(instance)
        except Failure as failure:
            log.warning("images of an evacuated instance left", instance=instance.id, reason=failure.message)

    async def _migration(self, work: Work) -> Migration:
        wanted = work.operation.arguments.migration_id
        return await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))

    def _lock(self, connection: Connection, work: Work) -> Migration:
        return instance_migrations.lock(connection, work.operation.arguments.migration_id)

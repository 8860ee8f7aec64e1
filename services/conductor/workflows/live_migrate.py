"""Live migration: claim a destination, have it make ready, have the source send the guest, and clean up.

    accepted          a destination is claimed beside what the instance has
    pre-migrating     the destination is asked whether the guest could run there
    queued            as many of the source's guests are on their way as may be at one time
    preparing         the destination makes ready
    running           the source sends the guest
    post-migrating    the guest, and with it the instance, is the destination's; the source is cleaned
    completed         the instance is what it was, elsewhere

The migration's status is where a conductor goes on after a crash. What fails before `post-migrating` leaves
the guest where it was, and the destination forgets it. Only while the guest is being sent nobody but the
source knows where it is: as long as that doesn't answer, nothing is rolled back.
"""

import asyncio

import structlog

from db import hosts, instance_migrations
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1 import migration_service_pb2 as pb
from novamesh.failures import DriverFailureError, Failure, InvalidArgumentError, NotFoundError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus
from services.conductor import endings, live_migrations, moves, states
from services.conductor.endings import Ending, OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.live_migration_checks import check_source
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_migration import DestinationChoice, cards_at, migrator
from services.conductor.workflows.ground import Ground

log = structlog.get_logger("novamesh.conductor")

# How often a part that doesn't answer is asked before the way goes on without it, or back.
TRIES = 5
ABORTED = "The migration was aborted."


class _AbortedError(Exception):
    """Somebody has asked for an abort."""


class LiveMigrateWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._choice = DestinationChoice(ground)

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Make the migration.

        Raises InvalidArgumentError (host: there is none of that name; instance_id: its hypervisor can't),
        StateConflictError (its power state, or another migration).
        """
        instance, wanted = asked.instance, asked.operation.arguments.migrate
        up_since = self._ground.hearing.up_since(asked.at)
        known = {
            host.name: host for host in hosts.get_many(connection, [instance.host, wanted.host], up_since)
        }
        if wanted.host and wanted.host not in known:
            raise InvalidArgumentError("host", f"Compute host {wanted.host} could not be found.")
        check_source(instance, known.get(instance.host))
        moves.begin(connection, asked, live_migrations.LIVE, instance.flavor)

    async def run(self, work: Work) -> None:
        """Bring the guest to its destination, or leave it where it is."""
        migration = await self._migration(work)
        if not moves.gone(migration):
            try:
                await self._forward(work)
            except _AbortedError:
                await self._roll_back(work, live_migrations.CANCELLED, None)
                return
            except Failure as failure:
                status = await self._end_of(work, failure)
                if status is None:
                    raise
                await self._roll_back(work, status, failure)
                return
        await self._finish(work)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """After a mistake in this code, or when the guest is lost.

        Raises `failure` while the guest is being sent, to be tried again once the lease has run out: it may
        have left its source, and what is at the destination may be all there is.
        """
        migration = await self._migration(work)
        if migration.status == live_migrations.RUNNING:
            raise failure
        if not moves.gone(migration):
            await self._roll_back(work, moves.ERROR, failure)
            return
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = states.ERROR
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))
            moves.close(connection, locked, self._lock(connection, work), moves.ERROR, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change), host=migration.held_host)

    async def _forward(self, work: Work) -> None:
        instance, source = await self._where(work)
        migration = await self._migration(work)
        if migration.status in (moves.ACCEPTED, moves.PRE_MIGRATING):
            if not source.up:
                raise InvalidArgumentError("host", "Compute service is unavailable at this time.")
            await self._choice.choose(work, instance, source)
            await self._note(work, live_migrations.QUEUED)
        await self._wait_for_turn(work)
        destination = await self._ground.host((await self._migration(work)).dest_compute)
        if destination is None:
            raise InvalidArgumentError("host", "The destination is gone.")
        migration = await self._migration(work)
        if migration.status == live_migrations.PREPARING:
            ready = await self._prepare(work, instance, destination)
            work.memory["ready"] = ready.SerializeToString().hex()
            await self._note(work, live_migrations.RUNNING)
        await self._send(work, instance, source, destination)

    async def _where(self, work: Work) -> tuple[Instance, Host]:
        instance, source = await self._ground.read(work.operation.instance_id)
        if instance.vm_state == states.DELETED:
            raise OvertakenError()
        if source is None:
            raise NotFoundError("host", instance.host, f"Instance {instance.id} is on no host.")
        work.operation.host = source.name
        return instance, source

    async def _wait_for_turn(self, work: Work) -> None:
        """Return once the migration is PREPARING, or was before."""
        most = self._ground.options.max_concurrent_live_migrations

        def take(connection: Connection, _instance: Instance) -> None:
            live_migrations.take_turn(connection, self._lock(connection, work), most, now())

        while True:
            migration = await self._migration(work)
            if migration.status == live_migrations.RUNNING:
                # Sent by an attempt that heard nothing more of it. Only its source knows whether an abort
                # comes too late.
                return
            if migration.aborting:
                raise _AbortedError()
            if migration.status != live_migrations.QUEUED:
                return
            if await self._ground.database.read(lambda c: live_migrations.has_turn(c, migration, most)):  # noqa: B023
                await self._ground.advance(work, take)
            else:
                await asyncio.sleep(self._ground.options.poll_interval)

    async def _prepare(
        self, work: Work, instance: Instance, destination: Host
    ) -> pb.PrepareMigrationResponse:
        there = cards_at(instance, destination.name)
        await self._ground.plug(there, destination)
        request = pb.PrepareMigrationRequest(
            operation_id=work.operation.id, instance=there, disks=work.memory["disks"]
        )
        return await migrator(self._ground, destination).PrepareMigration(
            request, timeout=self._ground.options.build_timeout
        )

    async def _send(self, work: Work, instance: Instance, source: Host, destination: Host) -> None:
        if not source.up:
            raise HostDownError(source.name)
        request = pb.MigrateInstanceRequest(
            operation_id=work.operation.id,
            instance=instance,
            destination=pb.PrepareMigrationResponse.FromString(bytes.fromhex(work.memory["ready"])),
            disks=work.memory["disks"],
        )

        async def send() -> None:
            try:
                await migrator(self._ground, source).MigrateInstance(
                    request, timeout=self._ground.options.build_timeout
                )
            except NotFoundError:
                # Sent before, by an attempt that didn't live to tell, or lost: the destination knows.
                log.info("guest is not at its source any more", instance=instance.id)

        sending = asyncio.create_task(send())
        try:
            while not (await asyncio.wait({sending}, timeout=self._ground.options.poll_interval))[0]:
                await self._look(work, source)
            await sending
        finally:
            sending.cancel()

        def arrive(connection: Connection, locked: Instance) -> None:
            migration = self._lock(connection, work)
            moves.go(connection, locked, migration, destination)
            migration.status = moves.POST_MIGRATING
            instance_migrations.save(connection, migration, now())

        await self._ground.advance(work, arrive)

    async def _look(self, work: Work, source: Host) -> None:
        """While the guest is being sent: keep the numbers, and stop it when it is to be stopped."""
        migration = await self._migration(work)
        destination = await self._ground.host(migration.dest_compute)
        stub, timeout = migrator(self._ground, source), self._ground.options.call_timeout
        try:
            if migration.aborting or destination is None or not destination.up:
                stop = pb.AbortMigrationRequest(
                    operation_id=work.operation.id, instance_id=migration.instance_id
                )
                await stub.AbortMigration(stop, timeout=timeout)
                return
            progress = await stub.GetMigrationProgress(
                pb.GetMigrationProgressRequest(instance_id=migration.instance_id), timeout=timeout
            )
        except Failure:
            # It has just ended, or the source is away: the call that sends hears of both.
            return

        def keep(connection: Connection, locked: Instance) -> None:
            numbers = self._lock(connection, work)
            for name in ("memory", "disk"):
                for part in ("total", "processed", "remaining"):
                    setattr(numbers, f"{name}_{part}", getattr(progress, f"{name}_{part}_bytes"))
            instance_migrations.save(connection, numbers, now())
            total = numbers.memory_total + numbers.disk_total
            if total:
                locked.progress = 100 - 100 * (numbers.memory_remaining + numbers.disk_remaining) // total

        await self._ground.advance(work, keep)

    async def _finish(self, work: Work) -> None:
        instance, destination = await self._ground.read(work.operation.instance_id)
        migration = await self._migration(work)
        work.operation.host = migration.dest_compute
        if destination is None or not destination.up:
            raise HostDownError(migration.dest_compute)
        await self._ground.plug(instance, destination)
        request = pb.FinishMigrationRequest(operation_id=work.operation.id, instance=instance)
        try:
            finished = await migrator(self._ground, destination).FinishMigration(
                request, timeout=self._ground.options.action_timeout
            )
        except Failure as failure:
            if failure.transient and work.operation.attempts >= work.operation.max_attempts:
                # The guest is there, and whoever waits gets it.
                raise HostDownError(destination.name) from failure
            raise
        await self._clean(work, instance, migration)

        def change(connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.LIVE_MIGRATE, finished.power_state)
            locked.progress = 0
            locked.ClearField("fault")
            moves.close(connection, locked, self._lock(connection, work), live_migrations.COMPLETED, now())

        end = endings.succeeded(work.operation.id, self._ground.owner, destination.name)
        await self._ground.end(Ending(end, instance.id, now(), change), host=migration.held_host)

    async def _clean(self, work: Work, instance: Instance, migration: Migration) -> None:
        """A source that is down, or fails, ends what it has when it finds that the instance is elsewhere."""
        source = await self._ground.host(migration.source_compute)
        if source is None or not source.up:
            log.warning("source not cleaned", instance=instance.id, host=migration.source_compute)
            return
        request = pb.CleanMigrationRequest(
            operation_id=work.operation.id,
            instance=instance,
            remove_disks=work.memory["disks"] == pb.DISK_MIGRATION_COPY,
        )
        try:
            await migrator(self._ground, source).CleanMigration(
                request, timeout=self._ground.options.action_timeout
            )
            await self._ground.unplug(cards_at(instance, source.name), source)
        except Failure as failure:
            if failure.transient and work.operation.attempts < TRIES:
                raise
            log.warning("source not cleaned", instance=instance.id, reason=failure.message)

    async def _end_of(self, work: Work, failure: Failure) -> MigrationStatus.ValueType | None:
        """The status that a failure ends the migration with; None when it is to be tried again."""
        migration = await self._migration(work)
        if moves.gone(migration):
            return None
        if migration.status == live_migrations.RUNNING:
            if isinstance(failure, DriverFailureError):
                return live_migrations.CANCELLED if migration.aborting else moves.FAILED
            if not failure.transient:
                return moves.FAILED
            if work.operation.attempts >= work.operation.max_attempts:
                raise HostDownError(migration.source_compute) from failure
            return None
        if migration.aborting:
            return live_migrations.CANCELLED
        over = not failure.transient or work.operation.attempts >= TRIES
        return moves.ERROR if over else None

    async def _roll_back(
        self, work: Work, status: MigrationStatus.ValueType, failure: Failure | None
    ) -> None:
        migration = await self._migration(work)
        instance, _ = await self._ground.read(work.operation.instance_id)
        if migration.status in (live_migrations.PREPARING, live_migrations.RUNNING):
            await self._clear_destination(work, instance, migration)
        at = now()
        told = failure or InvalidArgumentError("", ABORTED)

        def change(connection: Connection, locked: Instance) -> None:
            if locked.task_state == states.LIVE_MIGRATE.task_state:
                locked.task_state = states.IDLE
            locked.progress = 0
            if status != live_migrations.CANCELLED:
                locked.fault.CopyFrom(endings.fault_of(told, at))
            moves.close(connection, locked, self._lock(connection, work), status, at)

        end = endings.failed(work.operation.id, self._ground.owner, told, migration.source_compute)
        await self._ground.end(Ending(end, instance.id, at, change), host=migration.held_host)

    async def _clear_destination(self, work: Work, instance: Instance, migration: Migration) -> None:
        """One that doesn't answer ends what it has when it finds that the instance is elsewhere."""
        destination = await self._ground.host(migration.dest_compute)
        if destination is None or not destination.up:
            log.warning("destination not cleared", instance=instance.id, host=migration.dest_compute)
            return
        request = pb.RollBackMigrationRequest(
            operation_id=work.operation.id,
            instance=instance,
            remove_disks=work.memory["disks"] == pb.DISK_MIGRATION_COPY,
        )
        try:
            await migrator(self._ground, destination).RollBackMigration(
                request, timeout=self._ground.options.call_timeout
            )
            await self._ground.unplug(cards_at(instance, destination.name), destination)
        except Failure as failure:
            log.warning("destination not cleared", instance=instance.id, reason=failure.message)

    async def _note(self, work: Work, status: MigrationStatus.ValueType) -> None:
        """The migration has come so far, unless somebody has aborted it."""

        def note(connection: Connection, _instance: Instance) -> None:
            migration = self._lock(connection, work)
            if migration.aborting:
                raise _AbortedError()
            migration.status = status
            instance_migrations.save(connection, migration, now())

        await self._ground.advance(work, note)

    async def _migration(self, work: Work) -> Migration:
        wanted = work.operation.arguments.migration_id
        return await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))

    def _lock(self, connection: Connection, work: Work) -> Migration:
        return instance_migrations.lock(connection, work.operation.arguments.migration_id)

"""Resize and cold migration: claim a destination, move the disks, start the guest there; then it waits.

    accepted          a destination is claimed beside what the instance has
    pre-migrating     nothing has been touched yet
    migrating         the source powers the guest off, keeps it aside, and sends its disks
    post-migrating    the instance is the destination's, which makes the guest in its new size
    finished          RESIZED: somebody confirms or reverts

The migration's status is where a conductor goes on after a crash. When something fails for good before
`finished`, the way back is taken (`reverting`) and the instance is what it was, with the reason in its
fault. Only where the source itself can't restore the guest, it ends in ERROR; what the source has of it, and
its room there, stay.
"""

from collections.abc import Callable

import structlog

from db import flavors, hosts, instance_migrations, instances, leases, usage
from db.database import Connection
from db.operations import Work
from db.schema.base import now, timestamp
from novamesh.compute.v1.resize_service_pb2 import FinishResizeRequest, MigrateDisksRequest
from novamesh.failures import Failure, InvalidArgumentError, NotFoundError, NoValidHostError, UnavailableError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Fault, Instance, PowerState, TaskState
from novamesh.types.v1.migration_pb2 import Migration, MigrationType
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import endings, limits, moves, resize_checks, states
from services.conductor.destinations import Destinations, Wanted
from services.conductor.endings import Ending, OvertakenError
from services.conductor.ledger import HostDownError
from services.conductor.limits import Owner
from services.conductor.preparation import Preparation
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.way_back import TRIES, resizer, restore

log = structlog.get_logger("novamesh.conductor")

# Names of HostInventory.capabilities.
RESIZE, COLD_MIGRATION = "resize", "cold_migration"
MIGRATING, FINISHING = TaskState.TASK_STATE_RESIZE_MIGRATING, TaskState.TASK_STATE_RESIZE_FINISH
REVERTING = TaskState.TASK_STATE_RESIZE_REVERTING


class ResizeWorkflow:
    """See the module. One object serves both kinds."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._destinations = Destinations(ground)

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Check flavor or host and quota, and make the migration.

        Raises InvalidArgumentError (flavor_id, host, auto_disk_config), NotFoundError (flavor, host),
        QuotaExceededError, NoValidHostError where it is known already, StateConflictError.
        """
        at, instance = asked.at, asked.instance
        source = resize_checks.source_of(connection, instance, self._ground.hearing.up_since(at))
        if asked.operation.kind == OperationKind.OPERATION_KIND_MIGRATE:
            others = hosts.everyone(connection, self._ground.hearing.up_since(at))
            resize_checks.check_destination(source, others, asked.operation.arguments.migrate.host)
            moves.begin(connection, asked, MigrationType.MIGRATION_TYPE_MIGRATION, instance.flavor)
            return
        arguments = asked.operation.arguments.resize
        flavor = flavors.get(connection, arguments.flavor_id, instance.project_id)
        resize_checks.check_flavor(instance, flavor)
        if arguments.HasField("auto_disk_config"):
            resize_checks.check_auto_disk_config(instance, arguments.auto_disk_config)
            instance.auto_disk_config = arguments.auto_disk_config
        if not self._may_stay(source) and COLD_MIGRATION not in source.inventory.capabilities:
            raise NoValidHostError(())
        owner = Owner(instance.project_id, instance.user_id)
        limits.take_growth(connection, owner, instance.flavor, flavor, asked.quota)
        arguments.flavor.CopyFrom(flavor)
        moves.begin(connection, asked, MigrationType.MIGRATION_TYPE_RESIZE, flavor)

    async def run(self, work: Work) -> None:
        """Bring the guest to its destination, or back."""
        migration = await self._migration(work)
        if migration.status != moves.REVERTING:
            try:
                await self._forward(work, migration)
                return
            except Failure as failure:
                if not await self._is_over(work, failure):
                    raise
                await self._turn_round(work, failure)
        await self._back(work)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """As it was before, with the reason in its fault; ERROR when the way back failed."""
        migration = await self._migration(work)
        if migration.status not in (moves.ACCEPTED, moves.REVERTING):
            # A mistake in this code, on the way.
            await self._turn_round(work, failure)
            await self._back(work)
            return
        vm_state = states.ERROR if migration.status == moves.REVERTING else migration.old_vm_state
        at = now()
        fault = endings.fault_of(failure, at)

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = vm_state
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(fault)
            closed = self._lock(connection, work)
            if locked.flavor != closed.old_flavor:
                # It is the destination's still, in its new size.
                usage.change_flavor(connection, locked, at)
            moves.close(connection, locked, closed, moves.ERROR, at)

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change), host=migration.held_host)

    async def _forward(self, work: Work, migration: Migration) -> None:
        if migration.status == moves.ACCEPTED:
            await self._choose(work, migration)
        migration = await self._migration(work)
        if migration.status in (moves.PRE_MIGRATING, moves.MIGRATING):
            await self._migrate(work, migration)
            migration = await self._migration(work)
        await self._finish(work, migration)

    async def _choose(self, work: Work, migration: Migration) -> None:
        instance, source = await self._ground.read(work.operation.instance_id)
        if source is None:
            raise NotFoundError("host", instance.host, f"Instance {instance.id} is on no host.")

        def settle(connection: Connection, _instance: Instance, destination: Host) -> None:
            locked = self._lock(connection, work)
            moves.choose(locked, destination)
            instance_migrations.save(connection, locked, now())

        wanted = self._wanted(work, migration, source)
        await self._destinations.claim(work, instance, wanted, settle)

    def _wanted(self, work: Work, migration: Migration, source: Host) -> Wanted:
        able = COLD_MIGRATION in source.inventory.capabilities
        flavor = migration.new_flavor
        if work.operation.kind == OperationKind.OPERATION_KIND_MIGRATE:
            if not able:
                raise NoValidHostError(())
            return Wanted(flavor, _can_receive, work.operation.arguments.migrate.host, [source.name])
        if not self._may_stay(source):
            return Wanted(flavor, _can_receive, excluded=[source.name])
        if not able:
            return Wanted(flavor, _can_resize, requested_host=source.name)
        return Wanted(flavor, lambda host: host.name == source.name or _can_receive(host))

    def _may_stay(self, source: Host) -> bool:
        return self._ground.options.allow_resize_to_same_host and _can_resize(source)

    async def _migrate(self, work: Work, migration: Migration) -> None:
        instance, source = await self._ground.read(work.operation.instance_id)
        work.operation.host = migration.source_compute
        if source is None or not source.up:
            raise HostDownError(migration.source_compute)
        destination = await self._destination(migration)

        def begin(_connection: Connection, locked: Instance, migration: Migration) -> None:
            locked.task_state = MIGRATING
            migration.status = moves.MIGRATING

        instance, migration = await self._step(work, begin)
        timeout = self._ground.options.shutdown_timeout if instance.vm_state == states.ACTIVE else 0
        request = MigrateDisksRequest(
            operation_id=work.operation.id,
            instance=instance,
            migration=migration,
            destination_address=destination.address,
            shutdown_timeout=timeout,
        )
        await resizer(self._ground, source).MigrateDisks(
            request, timeout=self._ground.options.action_timeout + timeout
        )
        if destination.name != source.name:
            await self._unplug(work, source)

        def arrive(connection: Connection, locked: Instance, migration: Migration) -> None:
            moves.go(connection, locked, migration, destination)
            locked.task_state = FINISHING
            locked.power_state = PowerState.POWER_STATE_SHUTDOWN
            migration.status = moves.POST_MIGRATING

        await self._step(work, arrive)

    async def _finish(self, work: Work, migration: Migration) -> None:
        instance, _ = await self._ground.read(work.operation.instance_id)
        destination = await self._destination(migration)
        work.operation.host = destination.name
        await self._ground.plug(instance, destination)
        request = FinishResizeRequest(
            operation_id=work.operation.id,
            instance=instance,
            migration=migration,
            power_on=migration.old_vm_state == states.ACTIVE,
        )
        answer = await resizer(self._ground, destination).FinishResize(
            request, timeout=self._ground.options.action_timeout
        )
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = states.RESIZED
            locked.task_state = states.IDLE
            locked.power_state = answer.power_state
            locked.launched_at.CopyFrom(timestamp(at))
            locked.ClearField("fault")
            usage.change_flavor(connection, locked, at)
            finished = self._lock(connection, work)
            finished.status = moves.FINISHED
            instance_migrations.save(connection, finished, at)

        end = endings.succeeded(work.operation.id, self._ground.owner, destination.name)
        await self._ground.end(Ending(end, instance.id, at, change))

    async def _is_over(self, work: Work, failure: Failure) -> bool:
        """Whether a failure ends the way forward, once a destination has been claimed."""
        migration = await self._migration(work)
        if migration.status == moves.ACCEPTED:
            return False
        if not failure.transient or work.operation.attempts >= TRIES:
            return True
        destination = await self._ground.host(migration.dest_compute)
        return destination is None or not destination.up

    async def _turn_round(self, work: Work, failure: Failure) -> None:
        log.warning(
            "resize turns back",
            instance=work.operation.instance_id,
            operation=work.operation.id,
            reason=failure.message,
        )
        fault = endings.fault_of(failure, now())
        work.memory |= {
            "error": failure.message,
            "fault": [fault.code, fault.message, fault.details],
        }

        def turn(_connection: Connection, locked: Instance, migration: Migration) -> None:
            locked.task_state = REVERTING
            migration.status = moves.REVERTING

        await self._step(work, turn)

    async def _back(self, work: Work) -> None:
        power_state = await restore(self._ground, work)
        at = now()
        code, message, details = work.memory["fault"]
        migration = await self._migration(work)

        def change(connection: Connection, locked: Instance) -> None:
            locked.vm_state = migration.old_vm_state
            locked.task_state = states.IDLE
            locked.power_state = power_state
            locked.fault.CopyFrom(
                Fault(code=code, message=message, details=details, created_at=timestamp(at))
            )
            moves.close(connection, locked, self._lock(connection, work), moves.ERROR, at)

        failure = InvalidArgumentError("", work.memory["error"])
        end = endings.failed(work.operation.id, self._ground.owner, failure, migration.source_compute)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change), host=migration.held_host)

    async def _destination(self, migration: Migration) -> Host:
        """Raises UnavailableError when it is down, and HostDownError when it is the source, too."""
        destination = await self._ground.host(migration.dest_compute)
        if destination is not None and destination.up:
            return destination
        if migration.dest_compute == migration.source_compute:
            raise HostDownError(migration.dest_compute)
        raise UnavailableError(f"compute/{migration.dest_compute}", f"Host {migration.dest_compute} is down.")

    async def _unplug(self, work: Work, source: Host) -> None:
        instance, _ = await self._ground.read(work.operation.instance_id)
        try:
            await self._ground.unplug(instance, source)
        except Failure as failure:
            log.warning(
                "network of the source not cleared",
                instance=instance.id,
                host=source.name,
                reason=failure.message,
            )

    async def _migration(self, work: Work) -> Migration:
        wanted = work.operation.arguments.migration_id
        return await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))

    def _lock(self, connection: Connection, work: Work) -> Migration:
        return instance_migrations.lock(connection, work.operation.arguments.migration_id)

    async def _step(
        self, work: Work, change: Callable[[Connection, Instance, Migration], None]
    ) -> tuple[Instance, Migration]:
        """Write one step, if the operation is still this conductor's."""
        at = now()

        def write(connection: Connection) -> tuple[Instance, Migration]:
            instance = instances.lock(connection, work.operation.instance_id)
            if not leases.remember(connection, work, self._ground.owner, at):
                raise OvertakenError()
            migration = self._lock(connection, work)
            change(connection, instance, migration)
            instance_migrations.save(connection, migration, at)
            instances.save(connection, instance, at)
            return instance, migration

        instance, migration = await self._ground.database.write(write)
        self._ground.feeds.instances.touch([instance.id])
        return instance, migration


def _can_resize(host: Host) -> bool:
    return RESIZE in host.inventory.capabilities


def _can_receive(host: Host) -> bool:
    return COLD_MIGRATION in host.inventory.capabilities

"""Where a guest that runs may go: a host that is claimed, and that says that it could run it."""

from typing import TYPE_CHECKING

import structlog

from db import hosts, instance_migrations
from db.database import Connection
from db.hosts import Size
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1 import migration_service_pb2 as pb
from novamesh.compute.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.failures import (
    InvalidArgumentError,
    NotSupportedError,
    ResourceExhaustedError,
    UnavailableError,
)
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.operation_pb2 import MigrateArguments
from services.conductor import moves
from services.conductor.destinations import Destinations, Wanted
from services.conductor.live_migration_checks import check_named, lack_of_memory, takes_from
from services.conductor.workflows.ground import Ground

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.migration_service_pb2_grpc import MigrationServiceAsyncStub

log = structlog.get_logger("novamesh.conductor")

# Another host may do where one answers so.
_REFUSALS = (NotSupportedError, InvalidArgumentError, ResourceExhaustedError, UnavailableError)


def migrator(ground: Ground, host: Host) -> "MigrationServiceAsyncStub":
    """The compute role of a host."""
    return MigrationServiceStub(ground.node.channel_to(host.address, "compute", host.name))


def cards_at(instance: Instance, host: str) -> Instance:
    """The instance with its network cards as they are on that host."""
    there = Instance()
    there.CopyFrom(instance)
    for card in there.interfaces:
        card.host = host
    return there


class DestinationChoice:
    """Chooses, claims and asks the destination of a live migration."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._destinations = Destinations(ground)

    async def choose(self, work: Work, instance: Instance, source: Host) -> None:
        """The migration holds room on a host that could run the guest; `work.memory["disks"]` says what
        happens to disks.

        Raises InvalidArgumentError (host), NoValidHostError, what the one host that was asked for refuses
        with, OvertakenError, and transient failures.
        """
        arguments = work.operation.arguments.migrate
        named = await self._ground.host(arguments.host) if arguments.host else None
        if arguments.host:
            check_named(instance, source, named)
        while True:
            migration = await self._read(work)
            if not migration.held_host:
                await self._claim(work, instance, source, named)
                migration = await self._read(work)
            destination = await self._ground.host(migration.held_host)
            try:
                if destination is None or not destination.up:
                    raise ResourceExhaustedError("host", "The destination is down.")
                work.memory["disks"] = await self._check(work, instance, source, destination)
            except _REFUSALS as failure:
                if named is not None and isinstance(failure, UnavailableError):
                    # Asked again; another one wouldn't do.
                    raise
                await self._leave(work, migration)
                if named is not None:
                    raise
                log.info(
                    "destination refuses",
                    instance=instance.id,
                    host=migration.held_host,
                    reason=failure.message,
                )
                work.memory["refused"] = [*work.memory.get("refused", ()), migration.held_host]
            else:
                return

    async def _claim(self, work: Work, instance: Instance, source: Host, named: Host | None) -> None:
        def settle(connection: Connection, _instance: Instance, destination: Host) -> None:
            locked = instance_migrations.lock(connection, work.operation.arguments.migration_id)
            moves.choose(locked, destination)
            instance_migrations.save(connection, locked, now())

        if named is not None and work.operation.arguments.migrate.force:
            await self._force(work, instance, named)
            return
        wanted = Wanted(
            instance.flavor,
            lambda host: takes_from(source, host),
            named.name if named is not None else "",
            [source.name, *work.memory.get("refused", ())],
        )
        await self._destinations.claim(work, instance, wanted, settle)

    async def _force(self, work: Work, instance: Instance, named: Host) -> None:
        """Claim the host without asking the scheduler."""

        def claim(connection: Connection, locked: Instance) -> None:
            if not hosts.claim(connection, named.name, Size.of(locked.flavor)):
                raise lack_of_memory(instance, named)
            migration = instance_migrations.lock(connection, work.operation.arguments.migration_id)
            moves.choose(migration, named)
            instance_migrations.save(connection, migration, now())

        await self._ground.advance(work, claim, host=named.name)

    async def _check(
        self, work: Work, instance: Instance, source: Host, destination: Host
    ) -> pb.DiskMigration.ValueType:
        arguments = work.operation.arguments.migrate
        request = pb.CheckMigrationRequest(
            operation_id=work.operation.id,
            instance=instance,
            source_cpu_info=source.inventory.cpu_info,
            disks=_disks(arguments),
            disk_over_commit=arguments.disk_over_commit,
        )
        answer = await migrator(self._ground, destination).CheckMigration(
            request, timeout=self._ground.options.call_timeout
        )
        return answer.disks

    async def _leave(self, work: Work, migration: Migration) -> None:
        """Give a destination up that won't do."""

        def leave(connection: Connection, _instance: Instance) -> None:
            locked = instance_migrations.lock(connection, migration.id)
            hosts.release(connection, locked.held_host, Size.of(locked.held_flavor))
            locked.status = moves.ACCEPTED
            for name in ("held_host", "held_flavor", "dest_compute", "dest_node", "dest_host"):
                locked.ClearField(name)
            instance_migrations.save(connection, locked, now())

        await self._ground.advance(work, leave, host=migration.held_host)

    async def _read(self, work: Work) -> Migration:
        wanted = work.operation.arguments.migration_id
        return await self._ground.database.read(lambda c: instance_migrations.get(c, wanted))


def _disks(arguments: MigrateArguments) -> pb.DiskMigration.ValueType:
    if not arguments.HasField("block_migration"):
        return pb.DISK_MIGRATION_UNSPECIFIED
    return pb.DISK_MIGRATION_COPY if arguments.block_migration else pb.DISK_MIGRATION_SHARED

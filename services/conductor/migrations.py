"""Records of migrations, for those who list them; and live ones that are forced or aborted."""

import structlog

from db import instance_migrations
from db.database import Connection, Database
from db.schema.base import now
from novamesh.compute.v1 import migration_service_pb2 as compute
from novamesh.conductor.v1.migration_service_pb2 import (
    AbortMigrationRequest,
    AbortMigrationResponse,
    CompleteEvacuationsRequest,
    CompleteEvacuationsResponse,
    ForceMigrationRequest,
    ForceMigrationResponse,
    GetMigrationRequest,
    GetMigrationResponse,
    ListMigrationsRequest,
    ListMigrationsResponse,
)
from novamesh.failures import Failure, InvalidArgumentError, NotFoundError, UnavailableError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor import callers, live_migrations
from services.conductor.live_migrations import PREPARING, QUEUED, RUNNING, Interference
from services.conductor.workflows.at_migration import migrator
from services.conductor.workflows.ground import Ground
from services.mesh import Call

log = structlog.get_logger("novamesh.conductor")


class MigrationServicer:
    """Answers novamesh.conductor.v1.MigrationService."""

    def __init__(self, database: Database, ground: Ground) -> None:
        self._database = database
        self._ground = ground

    async def GetMigration(self, request: GetMigrationRequest, call: Call) -> GetMigrationResponse:
        """One migration."""

        def work(connection: Connection) -> Migration:
            if not request.id:
                return instance_migrations.by_number(connection, request.instance_id, request.number)
            found = instance_migrations.get(connection, request.id)
            if request.instance_id not in ("", found.instance_id):
                raise NotFoundError("migration", request.id)
            return found

        return GetMigrationResponse(migration=await self._database.read(work))

    async def ListMigrations(self, request: ListMigrationsRequest, call: Call) -> ListMigrationsResponse:
        """A page."""
        wanted = request
        host = callers.bound_host(call)
        if host and request.filter.host != host:
            wanted = ListMigrationsRequest()
            wanted.CopyFrom(request)
            wanted.filter.host = host
        found, token = await self._database.read(lambda c: instance_migrations.page(c, wanted))
        return ListMigrationsResponse(migrations=found, next_page_token=token)

    async def ForceMigration(self, request: ForceMigrationRequest, call: Call) -> ForceMigrationResponse:
        """Tell the source."""
        asked = Interference(
            request.request_id,
            request.instance_id,
            request.project_id,
            request.number,
            OperationKind.OPERATION_KIND_FORCE_MIGRATION,
            "force_complete",
            "force complete",
            (RUNNING,),
        )
        at = now()
        instance, _ = await self._database.write(
            lambda c: live_migrations.interfere(c, asked, call.context, at)
        )
        source = await self._source(instance)
        force = compute.ForceMigrationRequest(operation_id=request.request_id, instance_id=instance.id)
        try:
            await migrator(self._ground, source).ForceMigration(
                force, timeout=self._ground.options.call_timeout
            )
        except NotFoundError:
            # It has ended by itself, or begins just now.
            message = f"Instance {instance.id} is not being sent at this moment."
            raise InvalidArgumentError("status", message) from None
        return ForceMigrationResponse()

    async def AbortMigration(self, request: AbortMigrationRequest, call: Call) -> AbortMigrationResponse:
        """Write the wish down, which the workflow finds, and tell the source, which is faster."""
        asked = Interference(
            request.request_id,
            request.instance_id,
            request.project_id,
            request.number,
            OperationKind.OPERATION_KIND_ABORT_MIGRATION,
            "abort live migration",
            "abort live migration",
            (RUNNING, QUEUED, PREPARING) if request.before_it_runs else (RUNNING,),
        )
        at = now()

        def write(connection: Connection) -> tuple[Instance, Migration]:
            instance, migration = live_migrations.interfere(connection, asked, call.context, at)
            migration.aborting = True
            instance_migrations.save(connection, migration, at)
            return instance, migration

        instance, migration = await self._database.write(write)
        if migration.status == RUNNING:
            stop = compute.AbortMigrationRequest(operation_id=request.request_id, instance_id=instance.id)
            try:
                source = await self._source(instance)
                await migrator(self._ground, source).AbortMigration(
                    stop, timeout=self._ground.options.call_timeout
                )
            except Failure as failure:
                log.info("source not told of an abort", instance=instance.id, reason=failure.message)
        return AbortMigrationResponse()

    async def CompleteEvacuations(
        self, request: CompleteEvacuationsRequest, call: Call
    ) -> CompleteEvacuationsResponse:
        """Take down what a host has cleaned up."""
        at, host = now(), call.peer.host
        await self._database.write(
            lambda c: instance_migrations.complete_evacuations(c, host, list(request.instance_ids), at)
        )
        return CompleteEvacuationsResponse()

    async def _source(self, instance: Instance) -> Host:
        host = await self._ground.host(instance.host)
        if host is None or not host.up:
            raise UnavailableError("compute", f"Host {instance.host} is down.")
        return host

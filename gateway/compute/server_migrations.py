"""A server's live migration: os-migrateLive starts it; servers/{id}/migrations shows, forces and aborts."""

import asyncio
from dataclasses import dataclass
from typing import Any

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find, missing
from gateway.compute.views.migrations import IN_PROGRESS, LIVE, MigrationView
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.conductor.v1.migration_service_pb2 import (
    AbortMigrationRequest,
    ForceMigrationRequest,
    GetMigrationRequest,
    ListMigrationsRequest,
    MigrationFilter,
)
from novamesh.conductor.v1.operation_service_pb2 import GetOperationRequest
from novamesh.failures import NotFoundError
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus
from novamesh.types.v1.operation_pb2 import MigrateArguments, Operation, OperationArguments, OperationKind

_RULE = "os_compute_api:servers:migrations:"
_LIVE_RULE = "os_compute_api:os-migrate-server:migrate_live"
# Before these a live migration has been checked.
_UNCHECKED = (
    MigrationStatus.MIGRATION_STATUS_ACCEPTED,
    MigrationStatus.MIGRATION_STATUS_PRE_MIGRATING,
)
# Seconds between looks at a migration that is being checked.
_LOOK = 0.1


@dataclass(frozen=True)
class Era:
    """What os-migrateLive means in a range of microversions."""

    # Whether a host that is named is taken without the scheduler: always, never, or as `force` says.
    force: str
    # Whether the answer waits for the checks, and says what they have found.
    waits: bool


def _migrate_live(era: Era) -> Handler:
    async def migrate_live(call: ComputeRequest) -> None:
        """os-migrateLive."""
        given = call.body["os-migrateLive"]
        host = given["host"] or ""
        if host:
            call.require(_LIVE_RULE + ":host")
        arguments = MigrateArguments(host=host, force=_is_forced(era, given, host))
        if given["block_migration"] != "auto":
            arguments.block_migration = p.as_bool(given["block_migration"])
        arguments.disk_over_commit = p.as_bool(given.get("disk_over_commit", False))
        started = await server_operations.start(
            call, OperationKind.OPERATION_KIND_LIVE_MIGRATE, OperationArguments(migrate=arguments)
        )
        if era.waits:
            await _wait_for_checks(call, started.operation)

    return migrate_live


def _is_forced(era: Era, given: dict[str, Any], host: str) -> bool:
    if era.force != "asked":
        return era.force == "always" and bool(host)
    forced = p.as_bool(given.get("force", False))
    if forced and not host:
        raise HttpError(400, "Can't force to a non-provided destination")
    return forced


async def _wait_for_checks(call: ComputeRequest, operation: Operation) -> None:
    """Return when a destination has accepted. Raises HttpError 400 when none has."""
    waited = 0.0
    while waited < call.state.timeout:
        migration = await _get(call, GetMigrationRequest(id=operation.arguments.migration_id))
        if migration.status == MigrationStatus.MIGRATION_STATUS_ERROR:
            wanted = GetOperationRequest(id=operation.id)
            answer = await call.state.operations.GetOperation(wanted, timeout=call.state.timeout)
            raise HttpError(400, answer.operation.error)
        if migration.status not in _UNCHECKED:
            return
        await asyncio.sleep(_LOOK)
        waited += _LOOK


async def _get(call: ComputeRequest, wanted: GetMigrationRequest) -> Migration:
    answer = await call.state.migrations.GetMigration(wanted, timeout=call.state.timeout)
    migration: Migration = answer.migration
    return migration


async def index(call: ComputeRequest) -> object:
    """GET servers/{id}/migrations: live ones that are under way."""
    instance = await find(call)
    wanted = MigrationFilter(instance_id=instance.id, statuses=IN_PROGRESS, types=[LIVE])
    answer = await call.state.migrations.ListMigrations(
        ListMigrationsRequest(filter=wanted), timeout=call.state.timeout
    )
    view = MigrationView(call, with_hosts=call.allows(_RULE + "index:host"))
    return {"migrations": [view.of_server(migration) for migration in answer.migrations]}


async def show(call: ComputeRequest) -> object:
    """GET servers/{id}/migrations/{id}."""
    instance = await find(call)
    number = call.path["id"]
    try:
        migration = await _get(call, GetMigrationRequest(instance_id=instance.id, number=_number(number)))
    except NotFoundError:
        raise HttpError(
            404, f"In-progress live migration {number} is not found for server {instance.id}."
        ) from None
    if migration.type != LIVE:
        raise HttpError(404, f"Migration {number} for server {instance.id} is not live-migration.")
    if migration.status not in IN_PROGRESS:
        raise HttpError(404, f"Live migration {number} for server {instance.id} is not in progress.")
    return {"migration": MigrationView(call, with_hosts=True).of_server(migration)}


async def force_complete(call: ComputeRequest) -> None:
    """force_complete: let the guest stand still."""
    number = call.path["id"]
    request = ForceMigrationRequest(
        request_id=call.context.request_id,
        instance_id=call.path["server_id"],
        project_id=call.project_scope,
        number=_number(number),
    )
    try:
        await call.state.migrations.ForceMigration(request, timeout=call.state.timeout)
    except NotFoundError as failure:
        if _is_server(failure):
            raise missing(call.path["server_id"]) from None
        raise HttpError(400, _not_found(call, number)) from None


def _abort(*, before_it_runs: bool) -> Handler:
    async def abort(call: ComputeRequest) -> None:
        """DELETE servers/{id}/migrations/{id}."""
        number = call.path["id"]
        request = AbortMigrationRequest(
            request_id=call.context.request_id,
            instance_id=call.path["server_id"],
            project_id=call.project_scope,
            number=_number(number),
            before_it_runs=before_it_runs,
        )
        try:
            await call.state.migrations.AbortMigration(request, timeout=call.state.timeout)
        except NotFoundError as failure:
            if _is_server(failure):
                raise missing(call.path["server_id"]) from None
            raise HttpError(404, _not_found(call, number)) from None

    return abort


def _number(text: str) -> int:
    """The migration that the path names; 0, which none has, for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def _is_server(failure: NotFoundError) -> bool:
    return getattr(failure.detail, "resource_type", "") == "instance"


def _not_found(call: ComputeRequest, number: str) -> str:
    return f"Migration {number} not found for instance {call.path['server_id']}"


_HOST = {**p.HOST, "type": ["string", "null"]}
_AUTO = {**p.BOOLEAN, "enum": [*p.BOOLEAN["enum"], "auto"]}


def _live_body(fields: dict[str, Schema], required: tuple[str, ...]) -> Schema:
    return p.wrapped("os-migrateLive", p.record({"host": _HOST, **fields}, ("host", *required)))


_FIRST = _live_body(
    {"block_migration": p.BOOLEAN, "disk_over_commit": p.BOOLEAN}, ("block_migration", "disk_over_commit")
)
_WITH_AUTO = _live_body({"block_migration": _AUTO}, ("block_migration",))
_WITH_FORCE = _live_body({"block_migration": _AUTO, "force": p.BOOLEAN}, ("block_migration",))


def _live_route(first: int, last: int | None, era: Era, body: Schema) -> Route:
    return Route(
        "POST",
        "/servers/{id}/action",
        _LIVE_RULE,
        _migrate_live(era),
        status=202,
        body=((first, body),),
        action="os-migrateLive",
        first=first,
        last=last,
    )


_PATH = "/servers/{server_id}/migrations"
_ONE = _PATH + "/{id}"

ROUTES = (
    _live_route(1, 24, Era("always", waits=True), _FIRST),
    _live_route(25, 29, Era("always", waits=True), _WITH_AUTO),
    _live_route(30, 33, Era("asked", waits=True), _WITH_FORCE),
    _live_route(34, 67, Era("asked", waits=False), _WITH_FORCE),
    _live_route(68, None, Era("never", waits=False), _WITH_AUTO),
    Route("GET", _PATH, _RULE + "index", index, first=23),
    Route("GET", _ONE, _RULE + "show", show, first=23),
    Route(
        "POST",
        _ONE + "/action",
        _RULE + "force_complete",
        force_complete,
        status=202,
        body=((22, p.wrapped("force_complete", p.NOTHING)),),
        action="force_complete",
        first=22,
    ),
    Route("DELETE", _ONE, _RULE + "delete", _abort(before_it_runs=False), status=202, first=24, last=64),
    Route("DELETE", _ONE, _RULE + "delete", _abort(before_it_runs=True), status=202, first=65),
)

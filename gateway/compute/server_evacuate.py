"""Action evacuate: a server whose host is down, built anew on another."""

from collections.abc import Callable, Mapping
from typing import Any

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.server_admin_passwords import admin_password
from gateway.faults import HttpError
from gateway.requests import Handler
from gateway.routes import Route
from gateway.schemas import Schema
from novamesh.failures import NotFoundError
from novamesh.types.v1.operation_pb2 import MigrateArguments, OperationArguments, OperationKind

# What a range of microversions makes of the action's body.
Reader = Callable[[Mapping[str, Any]], MigrateArguments]


def _plain(given: Mapping[str, Any]) -> MigrateArguments:
    # A host that is named is taken without the scheduler, as it was before it could be asked for.
    host = given.get("host") or ""
    return MigrateArguments(host=host, force=bool(host))


def _shared(given: Mapping[str, Any]) -> MigrateArguments:
    arguments = _plain(given)
    arguments.on_shared_storage = p.as_bool(given["onSharedStorage"])
    return arguments


def _forcible(given: Mapping[str, Any]) -> MigrateArguments:
    arguments = MigrateArguments(host=given.get("host") or "", force=p.as_bool(given.get("force", False)))
    if arguments.force and not arguments.host:
        raise HttpError(400, "Can't force to a non-provided destination")
    return arguments


def _scheduled(given: Mapping[str, Any]) -> MigrateArguments:
    return MigrateArguments(host=given.get("host") or "")


def _stopped(given: Mapping[str, Any]) -> MigrateArguments:
    return MigrateArguments(host=given.get("host") or "", stopped=True)


def _evacuate(read: Reader, *, answers: bool = False) -> Handler:
    async def evacuate(call: ComputeRequest) -> object:
        """evacuate; 200, as upstream, though the work goes on."""
        given = call.body["evacuate"]
        arguments = read(given)
        if arguments.on_shared_storage and "adminPass" in given:
            raise HttpError(400, "admin password can't be changed on existing disk")
        try:
            await server_operations.start(
                call, OperationKind.OPERATION_KIND_EVACUATE, OperationArguments(migrate=arguments)
            )
        except NotFoundError as failure:
            raise HttpError(404, failure.message) from None
        if not (answers and call.state.options.enable_instance_password):
            return None
        return {"adminPass": None if arguments.on_shared_storage else admin_password(call, given)}

    return evacuate


_PASSWORD: Schema = {"type": "string"}


def _body(fields: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    return p.wrapped("evacuate", p.record({"host": p.HOST, "adminPass": _PASSWORD, **fields}, required))


def _route(first: int, last: int | None, handler: Handler, body: Schema) -> Route:
    return Route(
        "POST",
        "/servers/{id}/action",
        "os_compute_api:os-evacuate",
        handler,
        body=((first, body),),
        action="evacuate",
        first=first,
        last=last,
    )


_FIRST = _body({"onSharedStorage": p.BOOLEAN}, ("onSharedStorage",))
_WITH_FORCE = _body({"force": p.BOOLEAN})

ROUTES = (
    _route(1, 13, _evacuate(_shared, answers=True), _FIRST),
    _route(14, 28, _evacuate(_plain), _body({})),
    _route(29, 67, _evacuate(_forcible), _WITH_FORCE),
    _route(68, 94, _evacuate(_scheduled), _body({})),
    _route(95, None, _evacuate(_stopped), _body({})),
)

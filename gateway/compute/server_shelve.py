"""Actions shelve, shelveOffload and unshelve."""

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.server_snapshots import Snapshot, take
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, UnshelveArguments

_SUFFIX = "-shelved"
_LONGEST_NAME = 255


async def shelve(call: ComputeRequest) -> None:
    """shelve: an image of the server, which is powered off."""
    instance = await find(call)
    name = instance.display_name[: _LONGEST_NAME - len(_SUFFIX)] + _SUFFIX
    await take(call, instance, Snapshot(name, OperationKind.OPERATION_KIND_SHELVE))


async def unshelve(call: ComputeRequest) -> None:
    """unshelve, from 2.77 on to another zone, from 2.91 on to a certain host or free of its zone."""
    given = call.body["unshelve"] or {}
    arguments = UnshelveArguments()
    if "availability_zone" in given:
        zone = given["availability_zone"]
        if zone is None:
            arguments.unpin = True
        else:
            await _check_zone(call, zone)
            arguments.availability_zone = zone
    if "host" in given:
        call.require("os_compute_api:os-shelve:unshelve_to_host")
        arguments.host = given["host"]
    await server_operations.start(
        call, OperationKind.OPERATION_KIND_UNSHELVE, OperationArguments(unshelve=arguments)
    )


async def _check_zone(call: ComputeRequest, zone: str) -> None:
    for fresh in (False, True):
        # A zone that isn't known yet may be new.
        hosts = await call.state.hosts.all(fresh=fresh)
        if any(host.enabled and host.availability_zone == zone for host in hosts.values()):
            return
    raise HttpError(400, "The requested availability zone is not available")


_TO_ZONE = {
    "type": ["object", "null"],
    "properties": {"availability_zone": p.NAME},
    "required": ["availability_zone"],
    "additionalProperties": False,
}
_TO_HOST = {
    "type": ["object", "null"],
    "properties": {
        "availability_zone": {"type": ["string", "null"], "maxLength": 255},
        "host": p.HOST,
    },
    "minProperties": 1,
    "additionalProperties": False,
}
_PATH = "/servers/{id}/action"
_RULE = "os_compute_api:os-shelve:"

ROUTES = (
    Route("POST", _PATH, _RULE + "shelve", shelve, status=202, action="shelve"),
    Route(
        "POST",
        _PATH,
        _RULE + "shelve_offload",
        server_operations.simple(OperationKind.OPERATION_KIND_SHELVE_OFFLOAD),
        status=202,
        action="shelveOffload",
    ),
    Route(
        "POST",
        _PATH,
        _RULE + "unshelve",
        server_operations.simple(OperationKind.OPERATION_KIND_UNSHELVE),
        status=202,
        action="unshelve",
        last=76,
    ),
    Route(
        "POST",
        _PATH,
        _RULE + "unshelve",
        unshelve,
        status=202,
        body=((77, p.wrapped("unshelve", _TO_ZONE)), (91, p.wrapped("unshelve", _TO_HOST))),
        action="unshelve",
        first=77,
    ),
)

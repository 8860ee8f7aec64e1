"""Actions resize, confirmResize, revertResize and migrate: another size, or another host while it is off."""

from collections.abc import Awaitable

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.schemas.servers import DISK_CONFIG
from gateway.compute.server_operations import action
from gateway.faults import HttpError
from gateway.schemas import Rows
from novamesh.failures import NotFoundError, NoValidHostError
from novamesh.types.v1.operation_pb2 import (
    MigrateArguments,
    OperationArguments,
    OperationKind,
    ResizeArguments,
)


async def resize(call: ComputeRequest) -> None:
    """resize: to another flavor."""
    wanted = call.body["resize"]
    arguments = ResizeArguments(flavor_id=str(wanted["flavorRef"]))
    if "OS-DCF:diskConfig" in wanted:
        arguments.auto_disk_config = wanted["OS-DCF:diskConfig"] == "AUTO"
    await _accepted(
        server_operations.start(
            call, OperationKind.OPERATION_KIND_RESIZE, OperationArguments(resize=arguments)
        )
    )


async def migrate(call: ComputeRequest) -> None:
    """migrate: to another host, from 2.56 on to a certain one."""
    given = call.body.get("migrate")
    host = given.get("host") or "" if call.minor >= 56 and given else ""
    if host:
        call.require("os_compute_api:os-migrate-server:migrate:host")
    await _accepted(
        server_operations.start(
            call,
            OperationKind.OPERATION_KIND_MIGRATE,
            OperationArguments(migrate=MigrateArguments(host=host)),
        )
    )


async def _accepted(asked: Awaitable[object]) -> None:
    """What is named in the body and not there is a 400, as upstream; and so is a move that leads nowhere."""
    try:
        await asked
    except NotFoundError as failure:
        raise HttpError(400, failure.message) from None
    except NoValidHostError:
        raise HttpError(400, "No valid host was found. There is none that the server can move to.") from None


_HOST = {**p.HOST, "type": ["string", "null"]}
# Before 2.56 whatever the action holds is passed over.
_MIGRATE: Rows = (
    (1, {"type": "object", "required": ["migrate"]}),
    (56, p.wrapped("migrate", {**p.record({"host": _HOST}), "type": ["object", "null"]})),
)
_RESIZE = p.wrapped(
    "resize",
    p.record(
        {"flavorRef": {"type": ["string", "integer"], "minLength": 1}, "OS-DCF:diskConfig": DISK_CONFIG},
        ("flavorRef",),
    ),
)


_CONFIRM = server_operations.simple(OperationKind.OPERATION_KIND_CONFIRM_RESIZE)
_REVERT = server_operations.simple(OperationKind.OPERATION_KIND_REVERT_RESIZE)

ROUTES = (
    action("resize", "servers:resize", resize, body=((1, _RESIZE),)),
    action("confirmResize", "servers:confirm_resize", _CONFIRM, status=204),
    action("revertResize", "servers:revert_resize", _REVERT),
    action("migrate", "os-migrate-server:migrate", migrate, body=_MIGRATE),
)

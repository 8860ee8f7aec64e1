"""POST /servers/{id}/action: what is done to a server as a whole."""

from gateway.compute import parameters as p
from gateway.compute import server_operations
from gateway.compute.backends import ComputeRequest
from gateway.compute.server_operations import action
from gateway.compute.servers import find, missing
from gateway.faults import HttpError
from novamesh.compute.v1.console_service_pb2 import GetConsoleOutputRequest
from novamesh.compute.v1.console_service_pb2_grpc import ConsoleServiceStub
from novamesh.conductor.v1.instance_service_pb2 import ResetInstanceStateRequest
from novamesh.failures import NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import VmState
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, RebootType


async def reboot(call: ComputeRequest) -> None:
    """reboot: soft or hard."""
    hard = call.body["reboot"]["type"].upper() == "HARD"
    kind = RebootType.REBOOT_TYPE_HARD if hard else RebootType.REBOOT_TYPE_SOFT
    await server_operations.start(
        call, OperationKind.OPERATION_KIND_REBOOT, OperationArguments(reboot_type=kind)
    )


async def console_output(call: ComputeRequest) -> object:
    """os-getConsoleOutput: the end of what the guest printed."""
    wanted = call.body["os-getConsoleOutput"].get("length")
    # -1 and null mean all of it; 0 means nothing.
    lines = -1 if wanted is None else int(wanted)
    instance = await find(call)
    if not instance.host:
        raise HttpError(409, f"Instance {instance.id} is not ready")
    if lines == 0:
        return {"output": ""}
    host = await call.state.hosts.get(instance.host)
    consoles = ConsoleServiceStub(call.state.node.channel_to(host.address, "compute", host.name))
    try:
        answer = await consoles.GetConsoleOutput(
            GetConsoleOutputRequest(instance_id=instance.id, lines=max(lines, 0)), timeout=call.state.timeout
        )
    except NotFoundError:
        # The record is there, the guest isn't (yet).
        raise HttpError(404, "Unable to get console: the guest is not on its host.") from None
    except NotSupportedError as failure:
        raise HttpError(501, failure.message) from None
    text = answer.output.decode("utf-8", "replace")
    if lines > 0:
        # Nova counts what follows the last line feed as a line, too.
        text = "\n".join(text.split("\n")[-lines:])
    # What JSON can't carry is left out, as terminals would.
    return {"output": "".join(char for char in text if char >= " " or char in "\t\r\n\x1b")}


async def reset_state(call: ComputeRequest) -> None:
    """os-resetState: the state that an administrator says it is in."""
    server_id = call.path["id"]
    state = (
        VmState.VM_STATE_ACTIVE if call.body["os-resetState"]["state"] == "active" else VmState.VM_STATE_ERROR
    )
    try:
        await call.state.instances.ResetInstanceState(
            ResetInstanceStateRequest(id=server_id, vm_state=state), timeout=call.state.timeout
        )
    except NotFoundError:
        raise missing(server_id) from None


_LENGTH = {
    "type": ["integer", "string", "null"],
    "pattern": "^(-1|[0-9]{1,9})$",
    "minimum": -1,
    "maximum": 2147483647,
}
_REBOOT = p.wrapped(
    "reboot",
    p.record(
        {"type": {"type": "string", "enum": ["HARD", "Hard", "hard", "SOFT", "Soft", "soft"]}}, ("type",)
    ),
)
_CONSOLE = p.wrapped("os-getConsoleOutput", p.record({"length": _LENGTH}))
_RESET = p.wrapped(
    "os-resetState", p.record({"state": {"type": "string", "enum": ["active", "error"]}}, ("state",))
)


_START = server_operations.simple(OperationKind.OPERATION_KIND_START)
_STOP = server_operations.simple(OperationKind.OPERATION_KIND_STOP)
_PAUSE = server_operations.simple(OperationKind.OPERATION_KIND_PAUSE)
_UNPAUSE = server_operations.simple(OperationKind.OPERATION_KIND_UNPAUSE)
_SUSPEND = server_operations.simple(OperationKind.OPERATION_KIND_SUSPEND)
_RESUME = server_operations.simple(OperationKind.OPERATION_KIND_RESUME)

ROUTES = (
    action("os-start", "servers:start", _START),
    action("os-stop", "servers:stop", _STOP),
    action("reboot", "servers:reboot", reboot, body=((1, _REBOOT),)),
    action("pause", "os-pause-server:pause", _PAUSE),
    action("unpause", "os-pause-server:unpause", _UNPAUSE),
    action("suspend", "os-suspend-server:suspend", _SUSPEND),
    action("resume", "os-suspend-server:resume", _RESUME),
    action("os-getConsoleOutput", "os-console-output", console_output, status=200, body=((1, _CONSOLE),)),
    action("os-resetState", "os-admin-actions:reset_state", reset_state, body=((1, _RESET),)),
)

"""ConsoleService: what the guests of this host print and show."""

from drivers.virt import Console, ConsoleKind, Driver
from novamesh.compute.v1 import console_service_pb2 as pb
from novamesh.failures import InvalidArgumentError, NotSupportedError
from services.mesh import Call

_KINDS: dict[pb.ConsoleType.ValueType, ConsoleKind] = {
    pb.CONSOLE_TYPE_NOVNC: "vnc",
    pb.CONSOLE_TYPE_XVPVNC: "vnc",
    pb.CONSOLE_TYPE_SPICE_HTML5: "spice",
    pb.CONSOLE_TYPE_SERIAL: "serial",
}


class ConsoleServicer:
    """Asks the driver, when it has the ability."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def GetConsoleOutput(
        self, request: pb.GetConsoleOutputRequest, call: Call
    ) -> pb.GetConsoleOutputResponse:
        """See ConsoleService.GetConsoleOutput."""
        lines = request.lines if request.lines > 0 else None
        output = await self._console().console_output(request.instance_id, lines)
        return pb.GetConsoleOutputResponse(output=output)

    async def GetConsoleEndpoint(
        self, request: pb.GetConsoleEndpointRequest, call: Call
    ) -> pb.GetConsoleEndpointResponse:
        """See ConsoleService.GetConsoleEndpoint."""
        kind = _KINDS.get(request.type)
        if kind is None:
            raise InvalidArgumentError("type", "No type of console was given.")
        endpoint = await self._console().console_endpoint(request.instance_id, kind)
        return pb.GetConsoleEndpointResponse(
            host=endpoint.host, port=endpoint.port, internal_access_path=endpoint.internal_access_path
        )

    def _console(self) -> Console:
        if not isinstance(self._driver, Console):
            raise NotSupportedError("console", f"The {self._driver.name} driver has no consoles.")
        return self._driver

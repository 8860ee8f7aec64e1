"""What libvirt's guests print and show."""

import asyncio
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from drivers.virt.libvirt.domain.consoles import CONSOLE_LOG
from drivers.virt.libvirt.host import LibvirtHost, find
from drivers.virt.libvirt.options import SpiceOptions, VncOptions
from drivers.virt.protocols import ConsoleEndpoint, ConsoleKind
from novamesh.failures import NotFoundError, NotSupportedError

# As much as Nova gives.
_MAX_BYTES = 100 * 1024


class LibvirtConsole:
    """The Protocol Console."""

    host: LibvirtHost

    async def console_output(self, instance_id: str, lines: int | None = None) -> bytes:
        """The end of console.log, earlier starts included; it can be read while libvirtd is down."""
        folder = self.host.folders.folder(instance_id)
        return await asyncio.to_thread(_tail, folder, instance_id, lines)

    async def console_endpoint(self, instance_id: str, kind: ConsoleKind) -> ConsoleEndpoint:
        """Where VNC or SPICE listens. Raises NotFoundError("console") while the guest is off."""
        options = self._options(kind)
        if options is None:
            raise NotSupportedError(f"{kind}_console", f"This host gives its guests no {kind} console.")
        port = await self.host.connection.call(
            "look at the guest", lambda connection: _port(find(connection, instance_id), kind)
        )
        if port <= 0:
            raise NotFoundError("console", instance_id, f"Instance {instance_id} has no {kind} console now.")
        return ConsoleEndpoint(kind, options.server_proxyclient_address, port)

    def _options(self, kind: ConsoleKind) -> VncOptions | SpiceOptions | None:
        """Options of a kind of console that guests have; None when they haven't."""
        options = self.host.options
        if kind == "vnc" and options.vnc.enabled:
            return options.vnc
        if kind == "spice" and options.spice.enabled:
            return options.spice
        return None


def _port(domain: Any, kind: str) -> int:
    # libvirt's own answer.
    definition = ET.fromstring(domain.XMLDesc())  # noqa: S314
    element = definition.find(f"./devices/graphics[@type='{kind}']")
    return int(element.get("port", "-1")) if element is not None else -1


def _tail(folder: Path, instance_id: str, lines: int | None) -> bytes:
    if not folder.is_dir():
        raise NotFoundError("instance", instance_id)
    log = folder / CONSOLE_LOG
    # virtlogd moves a log that has grown to 2 MiB aside, so the end may have begun in the file before.
    output = _end(log, _MAX_BYTES)
    if len(output) < _MAX_BYTES:
        output = _end(log.with_name(CONSOLE_LOG + ".0"), _MAX_BYTES - len(output)) + output
    if lines:
        output = b"".join(output.splitlines(keepends=True)[-lines:])
    return output


def _end(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - size))
            return file.read(size)
    except FileNotFoundError:
        return b""

"""What a libvirt host has, and which guests are on it."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.domain import is_ours
from drivers.virt.libvirt.domain.metadata import OURS
from drivers.virt.libvirt.host import LibvirtHost, state_of
from drivers.virt.protocols import GuestState, PowerChange, capabilities
from drivers.virt.qemu_img import GIB
from novamesh.types.v1.host_pb2 import HostInventory


class LibvirtInventory:
    """The Protocol Inventory."""

    host: LibvirtHost

    async def inventory(self) -> HostInventory:
        """Processors, memory and abilities by libvirt, disk by the file system of instances_path."""
        found = await self.host.connection.call("describe the host", self._describe)
        disk = await asyncio.to_thread(os.statvfs, self.host.folders.root)
        found.disk_gb = disk.f_blocks * disk.f_frsize // GIB
        found.disk_available_gb = disk.f_bavail * disk.f_frsize // GIB
        found.uptime = await asyncio.to_thread(_uptime)
        return found

    async def instances(self) -> list[GuestState]:
        """Domains that were defined for this instances_path."""
        return await self.host.connection.call("list the guests", self._list)

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        """Call `on_change` at libvirt's lifecycle events."""
        return self.host.watch(on_change)

    def _describe(self, connection: Any) -> HostInventory:
        vcpus = connection.getInfo()[2]
        # Not getInfo's figure: it counts only what was there at boot, and memory can be added to a machine.
        memory_mb = connection.getMemoryStats(libvirt.VIR_NODE_MEMORY_STATS_ALL_CELLS)["total"] // 1024
        options = self.host.options
        # libvirt's own answer.
        host = ET.fromstring(connection.getCapabilities())  # noqa: S314
        return HostInventory(
            vcpus=vcpus,
            memory_mb=memory_mb,
            hypervisor_type=connection.getType(),
            hypervisor_version=connection.getVersion(),
            hypervisor_hostname=options.hypervisor_hostname or connection.getHostname(),
            cpu_info=_cpu_info(host),
            supported_instances=_supported(host, self.host.virt_type),
            capabilities=capabilities(self),
            host_ip=options.my_ip,
        )

    def _list(self, connection: Any) -> list[GuestState]:
        return [
            GuestState(domain.UUIDString(), state_of(domain))
            for domain in connection.listAllDomains()
            if self._owns(domain)
        ]

    def _owns(self, domain: Any) -> bool:
        try:
            element = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, OURS)
        except libvirt.libvirtError as error:
            # No such element, or the domain has gone while we looked.
            if error.get_error_code() in (libvirt.VIR_ERR_NO_DOMAIN_METADATA, libvirt.VIR_ERR_NO_DOMAIN):
                return False
            raise
        return is_ours(element, str(self.host.folders.root))


def _cpu_info(host: ET.Element) -> str:
    cpu = host.find("./host/cpu")
    if cpu is None:
        return "{}"
    topology = cpu.find("topology")
    return json.dumps(
        {
            "arch": cpu.findtext("arch", ""),
            "vendor": cpu.findtext("vendor", ""),
            "model": cpu.findtext("model", ""),
            "topology": {
                k: int(v) for k, v in topology.attrib.items() if k in ("cells", "sockets", "cores", "threads")
            }
            if topology is not None
            else {},
            "features": sorted(feature.get("name", "") for feature in cpu.iterfind("feature")),
        }
    )


def _supported(host: ET.Element, virt_type: str) -> list[str]:
    """`arch,hypervisor,mode` of each kind of guest that can run with `virt_type`."""
    kinds = []
    for guest in host.iterfind("guest"):
        arch = guest.find("arch")
        if arch is not None and any(domain.get("type") == virt_type for domain in arch.iterfind("domain")):
            kinds.append(f"{arch.get('name')},{virt_type},{guest.findtext('os_type', 'hvm')}")
    return kinds


def _uptime() -> str:
    """As the command of that name prints it, without who is logged in."""
    up = timedelta(seconds=int(float(Path("/proc/uptime").read_text().split()[0])))
    load = ", ".join(Path("/proc/loadavg").read_text().split()[:3])
    return f"{time.strftime('%H:%M:%S')} up {up}, load average: {load}"

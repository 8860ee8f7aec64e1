"""Counters of libvirt's guests."""

import platform
from functools import partial
from typing import Any
from xml.etree import ElementTree as ET

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.host import LibvirtHost, find, state_of
from novamesh.types.v1.diagnostics_pb2 import (
    CpuDiagnostics,
    Diagnostics,
    DiskDiagnostics,
    MemoryDiagnostics,
    NicDiagnostics,
)
from novamesh.types.v1.instance_pb2 import POWER_STATE_PAUSED, POWER_STATE_RUNNING

# The order of virDomainInterfaceStats and virDomainBlockStats; -1 is what isn't counted.
_NIC = (
    "rx_bytes", "rx_packets", "rx_errors", "rx_drop", "tx_bytes", "tx_packets", "tx_errors", "tx_drop",
)  # fmt: skip
_DISK = ("read_requests", "read_bytes", "write_requests", "write_bytes", "errors")


class LibvirtGuestDiagnostics:
    """The Protocol GuestDiagnostics."""

    host: LibvirtHost

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        """As libvirt and QEMU count."""
        return await self.host.connection.call(
            "count the guest", partial(_count, instance_id, self.host.virt_type)
        )


# What follows runs in a thread.


def _count(instance_id: str, virt_type: str, connection: Any) -> Diagnostics:
    domain = find(connection, instance_id)
    state = state_of(domain)
    found = Diagnostics(
        power_state=state, driver="libvirt", hypervisor=virt_type, hypervisor_os=platform.system().lower()
    )
    if state not in (POWER_STATE_RUNNING, POWER_STATE_PAUSED):
        return found
    # libvirt's own answer.
    devices = ET.fromstring(domain.XMLDesc()).find("devices")  # noqa: S314
    assert devices is not None
    found.memory.CopyFrom(_memory(domain))
    found.cpus.extend(CpuDiagnostics(id=number, time_ns=spent) for number, _, spent, _ in domain.vcpus()[0])
    for element in devices.iterfind("interface"):
        found.nics.append(_nic(domain, element))
    for element in devices.iterfind("disk"):
        found.disks.append(_disk(domain, element))
    return found


def _memory(domain: Any) -> MemoryDiagnostics:
    said: dict[str, int] = domain.memoryStats()
    memory = MemoryDiagnostics(maximum_kib=domain.maxMemory(), others=said)
    if "available" in said and "unused" in said:
        memory.used_kib = said["available"] - said["unused"]
    return memory


def _nic(domain: Any, element: ET.Element) -> NicDiagnostics:
    mac, target = element.find("mac"), element.find("target")
    nic = NicDiagnostics(
        mac_address=mac.get("address", "") if mac is not None else "",
        device=target.get("dev", "") if target is not None else "",
    )
    _fill(nic, _NIC, lambda: domain.interfaceStats(nic.device))
    return nic


def _disk(domain: Any, element: ET.Element) -> DiskDiagnostics:
    target = element.find("target")
    disk = DiskDiagnostics(device=target.get("dev", "") if target is not None else "")
    _fill(disk, _DISK, lambda: domain.blockStats(disk.device))
    return disk


def _fill(message: Any, names: tuple[str, ...], read: Any) -> None:
    try:
        numbers = read()
    except libvirt.libvirtError:
        # Unplugged since, or nothing that is counted: then its numbers are not known.
        return
    for name, number in zip(names, numbers, strict=True):
        if number >= 0:
            setattr(message, name, number)

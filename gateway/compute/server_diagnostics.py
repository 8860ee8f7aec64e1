"""Diagnostics of a server: what its hypervisor counts, up to 2.47 in libvirt's words, then in Nova's."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from gateway.compute.backends import ComputeRequest
from gateway.compute.servers import find
from gateway.faults import HttpError
from gateway.routes import Route
from novamesh.compute.v1.guest_service_pb2 import GetDiagnosticsRequest
from novamesh.compute.v1.guest_service_pb2_grpc import GuestServiceStub
from novamesh.failures import NotFoundError, NotSupportedError
from novamesh.types.v1.diagnostics_pb2 import Diagnostics, DiskDiagnostics, NicDiagnostics
from novamesh.types.v1.instance_pb2 import Instance, PowerState

_POWER_STATES = {
    PowerState.POWER_STATE_UNSPECIFIED: "pending",
    PowerState.POWER_STATE_RUNNING: "running",
    PowerState.POWER_STATE_PAUSED: "paused",
    PowerState.POWER_STATE_SHUTDOWN: "shutdown",
    PowerState.POWER_STATE_CRASHED: "crashed",
    PowerState.POWER_STATE_SUSPENDED: "suspended",
}
# What libvirt calls a counter, after the device's name, and the contract's name of it.
_DISK = {
    "read": "read_bytes", "read_req": "read_requests", "write": "write_bytes", "write_req": "write_requests",
    "errors": "errors",
}  # fmt: skip
_NIC = {
    "rx": "rx_bytes", "rx_packets": "rx_packets", "rx_errors": "rx_errors", "rx_drop": "rx_drop",
    "tx": "tx_bytes", "tx_packets": "tx_packets", "tx_errors": "tx_errors", "tx_drop": "tx_drop",
}  # fmt: skip
_KIB_IN_MIB = 1024


async def index(call: ComputeRequest) -> object:
    """GET diagnostics. 409 unless the guest runs."""
    instance = await find(call)
    if not instance.host:
        raise HttpError(409, f"Instance {instance.id} is not ready")
    host = await call.state.hosts.get(instance.host)
    guests = GuestServiceStub(call.state.node.channel_to(host.address, "compute", host.name))
    try:
        answer = await guests.GetDiagnostics(
            GetDiagnosticsRequest(instance_id=instance.id), timeout=call.state.timeout
        )
    except NotFoundError:
        # The record is there, the guest isn't (yet).
        raise HttpError(409, f"Instance {instance.id} is not ready") from None
    except NotSupportedError as failure:
        raise HttpError(501, failure.message) from None
    found: Diagnostics = answer.diagnostics
    if found.power_state != PowerState.POWER_STATE_RUNNING:
        state = _POWER_STATES[found.power_state]
        raise HttpError(
            409, f"Cannot 'get_diagnostics' instance {instance.id} while it is in power state {state}"
        )
    show: Callable[[Instance, Diagnostics], object]
    _, show = next(row for row in reversed(_SHAPES) if row[0] <= call.minor)
    return show(instance, found)


def _as_libvirt(_: Instance, found: Diagnostics) -> dict[str, int]:
    shown = {f"cpu{cpu.id}_time": cpu.time_ns for cpu in found.cpus}
    for disk in found.disks:
        shown |= _counted(disk, _DISK)
    for nic in found.nics:
        shown |= _counted(nic, _NIC)
    shown["memory"] = found.memory.maximum_kib
    shown |= {f"memory-{name}": number for name, number in found.memory.others.items()}
    return shown


def _counted(device: DiskDiagnostics | NicDiagnostics, names: dict[str, str]) -> dict[str, int]:
    return {
        f"{device.device}_{name}": getattr(device, field)
        for name, field in names.items()
        if device.HasField(field)  # type: ignore[arg-type]
    }


def _as_nova(instance: Instance, found: Diagnostics) -> dict[str, Any]:
    launched = instance.launched_at.seconds if instance.HasField("launched_at") else None
    used = found.memory.used_kib // _KIB_IN_MIB if found.memory.HasField("used_kib") else None
    return {
        "config_drive": instance.config_drive,
        "state": _POWER_STATES[found.power_state],
        "driver": found.driver,
        "hypervisor": found.hypervisor or None,
        "hypervisor_os": found.hypervisor_os or None,
        "uptime": int(time.time()) - launched if launched else None,
        "num_cpus": len(found.cpus),
        "num_nics": len(found.nics),
        "num_disks": len(found.disks),
        "cpu_details": [
            {"id": cpu.id, "time": cpu.time_ns, "utilisation": _known(cpu, "utilisation")}
            for cpu in found.cpus
        ],
        "nic_details": [
            {
                "mac_address": nic.mac_address,
                "rx_octets": _known(nic, "rx_bytes"),
                "tx_octets": _known(nic, "tx_bytes"),
                # Nobody keeps what there was a moment ago.
                "rx_rate": None,
                "tx_rate": None,
                **_all_known(nic, (name for name in _NIC if name not in ("rx", "tx"))),
            }
            for nic in found.nics
        ],
        "disk_details": [
            {
                "errors_count": _known(disk, "errors"),
                **_all_known(disk, ("read_bytes", "read_requests", "write_bytes", "write_requests")),
            }
            for disk in found.disks
        ],
        "memory_details": {"maximum": found.memory.maximum_kib // _KIB_IN_MIB, "used": used},
    }


def _known(message: Any, field: str) -> int | None:
    return getattr(message, field) if message.HasField(field) else None


def _all_known(message: Any, fields: Iterable[str]) -> dict[str, int | None]:
    return {field: _known(message, field) for field in fields}


# First microversion of each shape.
_SHAPES: tuple[tuple[int, Callable[[Instance, Diagnostics], object]], ...] = (
    (1, _as_libvirt),
    (48, _as_nova),
)

ROUTES = (Route("GET", "/servers/{server_id}/diagnostics", "os_compute_api:os-server-diagnostics", index),)

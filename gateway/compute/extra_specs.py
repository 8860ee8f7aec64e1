"""The extra specs that Nova knows, with what each may be: checked from microversion 2.86 on.

A name in a namespace that is known must be known itself; names elsewhere, and names without a namespace,
may be anything.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product

from gateway.compute.parameters import parse_bool

# Says what is wrong with a value; an empty text for nothing.
Check = Callable[[str], str]


def _anything(value: str) -> str:
    return ""


def _boolean(value: str) -> str:
    return "" if parse_bool(value) is not None else f"'{value}' is not a valid boolean-like value."


def _integer(least: int | None = None) -> Check:
    def check(value: str) -> str:
        try:
            number = int(value)
        except ValueError:
            return f"'{value}' is not a valid integer value."
        if least is not None and number < least:
            return f"'{number}' is less than the min value of '{least}'."
        return ""

    return check


def _one_of(*words: str) -> Check:
    return lambda value: "" if value in words else f"'{value}' is not one of: {', '.join(words)}."


def _like(pattern: str) -> Check:
    compiled = re.compile(pattern)
    return lambda value: "" if compiled.fullmatch(value) else f"'{value}' is not of the format '{pattern}'."


_COUNT = _integer(0)
_SOME = _integer(1)
_CPUS = _like(r"\^?\d+(-\d+)?(,\^?\d+(-\d+)?)*")

_HW: Mapping[str, Check] = {
    "boot_menu": _boolean,
    "cpu_cores": _SOME,
    "cpu_dedicated_mask": _CPUS,
    "cpu_policy": _one_of("dedicated", "shared", "mixed"),
    "cpu_realtime": _boolean,
    "cpu_realtime_mask": _CPUS,
    "cpu_sockets": _SOME,
    "cpu_thread_policy": _one_of("prefer", "isolate", "require"),
    "cpu_threads": _SOME,
    "emulator_threads_policy": _one_of("isolate", "share"),
    "ephemeral_encryption": _boolean,
    "ephemeral_encryption_format": _one_of("luks"),
    "hide_hypervisor_id": _boolean,
    "locked_memory": _boolean,
    "max_cpu_cores": _SOME,
    "max_cpu_sockets": _SOME,
    "max_cpu_threads": _SOME,
    "maxphysaddr_bits": _COUNT,
    "maxphysaddr_mode": _one_of("passthrough", "emulate"),
    "mem_encryption": _boolean,
    "mem_encryption_model": _one_of("amd-sev", "amd-sev-es"),
    "mem_page_size": _like(r"(large|small|any|\d+([kKMGT]i?)?(b|bit|B)?)"),
    "numa_nodes": _SOME,
    "pci_numa_affinity_policy": _one_of("required", "preferred", "legacy", "socket"),
    "pmem": _like(r"[a-zA-Z0-9_]+(,[a-zA-Z0-9_]+)*,?"),
    "pmu": _boolean,
    "redirected_usb_ports": _COUNT,
    "serial_port_count": _COUNT,
    "sound_model": _one_of("sb16", "es1370", "pcspk", "ac97", "ich6", "ich9", "usb", "virtio"),
    "tpm_model": _one_of("tpm-tis", "tpm-crb"),
    "tpm_secret_security": _one_of("user", "host", "deployment"),
    "tpm_version": _one_of("1.2", "2.0"),
    "usb_model": _one_of(
        "piix3-uhci",
        "piix4-uhci",
        "ehci",
        "ich9-ehci1",
        "vt82c686b-uhci",
        "pci-ohci",
        "nec-xhci",
        "qemu-xhci",
    ),
    "vif_multiqueue_enabled": _boolean,
    "viommu_model": _one_of("intel", "smmuv3", "virtio", "auto"),
    "virtio_packed_ring": _boolean,
    "watchdog_action": _one_of("none", "pause", "poweroff", "reset", "disabled"),
}
# fmt: off
# Of hosts, as ComputeCapabilitiesFilter compares them.
_CAPABILITIES = (
    "id", "uuid", "service_id", "host", "vcpus", "memory_mb", "local_gb", "vcpus_used", "memory_mb_used",
    "local_gb_used", "hypervisor_type", "hypervisor_version", "hypervisor_hostname", "free_ram_mb",
    "free_disk_gb", "current_workload", "running_vms", "disk_available_least", "host_ip", "mapped",
    "cpu_allocation_ratio", "ram_allocation_ratio", "disk_allocation_ratio", "total_usable_ram_mb",
    "total_usable_disk_gb", "disk_mb_used", "free_disk_mb", "vcpus_total", "num_instances", "num_io_ops",
    "failed_builds", "aggregates", "cell_uuid", "updated",
)
_NESTED_CAPABILITIES = (
    "cpu_info", "metrics", "stats", "numa_topology", "supported_hv_specs", "pci_device_pools",
    "nodename", "pci_stats", "supported_instances", "limits", "instances",
)
# Placement's own classes of resources.
_RESOURCES = (
    "VCPU", "MEMORY_MB", "DISK_GB", "PCI_DEVICE", "SRIOV_NET_VF", "NUMA_SOCKET", "NUMA_CORE",
    "NUMA_THREAD", "NUMA_MEMORY_MB", "IPV4_ADDRESS", "VGPU", "VGPU_DISPLAY_HEAD",
    "NET_BW_EGR_KILOBIT_PER_SEC", "NET_BW_IGR_KILOBIT_PER_SEC", "PCPU", "MEM_ENCRYPTION_CONTEXT", "FPGA",
    "PGPU", "NET_PACKET_RATE_KILOPACKET_PER_SEC", "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
)
# fmt: on
_GROUP = "([a-zA-Z0-9_-]{1,64})?"


def _quotas() -> Iterator[tuple[str, Check]]:
    for resource in ("cpu", "memory", "disk_io", "vif"):
        for key in ("limit", "reservation", "shares_share"):
            yield f"quota:{resource}_{key}", _integer()
        yield f"quota:{resource}_shares_level", _anything
    for key in ("shares", "period", "quota"):
        yield f"quota:cpu_{key}", _COUNT
    for action, unit in product(("read", "write", "total"), ("bytes", "iops")):
        yield f"quota:disk_{action}_{unit}_sec", _COUNT
    for way, figure in product(("inbound", "outbound"), ("average", "peak", "burst")):
        yield f"quota:vif_{way}_{figure}", _COUNT


NAMES: Mapping[str, Check] = {
    "group_policy": _one_of("isolate", "none"),
    "hide_hypervisor_id": _boolean,
    "accel:device_profile": _anything,
    "hw_rng:allowed": _boolean,
    "hw_rng:rate_bytes": _COUNT,
    "hw_rng:rate_period": _COUNT,
    "hw_video:ram_max_mb": _COUNT,
    "os:secure_boot": _one_of("disabled", "required"),
    "pci_passthrough:alias": _like(r"[^:]+:\d+(\s*,\s*[^:]+:\d+)*"),
    "vmware:hw_version": _anything,
    "vmware:storage_policy": _anything,
    **{f"hw:{name}": check for name, check in _HW.items()},
    **{f"capabilities:{name}": _anything for name in _CAPABILITIES},
    **dict(_quotas()),
}
PATTERNS: tuple[tuple[re.Pattern[str], Check], ...] = tuple(
    (re.compile(pattern), check)
    for pattern, check in (
        (r"hw:numa_cpus\.\d+", _CPUS),
        (r"hw:numa_mem\.\d+", _SOME),
        (r"aggregate_instance_extra_specs:.+", _anything),
        (rf"capabilities:({'|'.join(_NESTED_CAPABILITIES)})(:\w+)*", _anything),
        (rf"resources{_GROUP}:({'|'.join(_RESOURCES)}|CUSTOM_[A-Z0-9_]+)", _integer()),
        (rf"trait{_GROUP}:[A-Z][A-Z0-9_]*", _one_of("required", "forbidden")),
    )
)
_NAMESPACE = re.compile(
    "accel|aggregate_instance_extra_specs|capabilities|hw|hw_rng|hw_video|os|pci_passthrough|quota|vmware|"
    f"resources{_GROUP}|trait{_GROUP}"
)


def wrong(name: str, value: str) -> str:
    """What is wrong with an extra spec, as a sentence; empty when nothing is."""
    check = NAMES.get(name)
    if check is None:
        check = next((check for pattern, check in PATTERNS if pattern.fullmatch(name)), None)
    if check is not None:
        found = check(value)
        return f"Validation failed; {found}" if found else ""
    namespace, colon, _ = name.partition(":")
    if colon and _NAMESPACE.fullmatch(namespace):
        return f"Validation failed; extra spec '{name}' does not appear to be a valid extra spec."
    return ""

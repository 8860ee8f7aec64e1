"""Each filter of the scheduler by itself."""

import pytest

from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from services.scheduler.filters import FILTERS
from services.scheduler.filters.image_properties import version_allowed
from services.scheduler.filters.spec_operators import matches
from services.scheduler.hosts import Claim
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request
from tests.unit.scheduler_hosts import host, table

SMALL = Claim(1, 512, 1)


def passing(name: str, request: Request, *hosts: Host, options: SchedulerOptions | None = None) -> list[str]:
    """Names of the hosts that a filter lets pass."""
    made = table(*hosts)
    mask = FILTERS[name](options or SchedulerOptions()).passing(made, request)
    return [h.name for i, h in enumerate(hosts) if mask is None or mask[i]]


def test_retry_filter_leaves_out_hosts_that_refused() -> None:
    request = Request(SMALL, tried_hosts=("b", "unknown"))
    assert passing("RetryFilter", request, host("a"), host("b")) == ["a"]


def test_availability_zone_filter_keeps_to_the_zone() -> None:
    hosts = host("a"), host("b", availability_zone="east")
    assert passing("AvailabilityZoneFilter", Request(SMALL, availability_zone="east"), *hosts) == ["b"]
    assert passing("AvailabilityZoneFilter", Request(SMALL), *hosts) == ["a", "b"]
    assert passing("AvailabilityZoneFilter", Request(SMALL, availability_zone="west"), *hosts) == []


def test_ram_filter_counts_ratio_and_usage() -> None:
    hosts = (
        host("empty"),
        host("full", HostUsage(memory_mb=16000)),
        host("exact", HostUsage(memory_mb=16384 - 512)),
        host("overcommitted", HostUsage(memory_mb=16384), ram_allocation_ratio=1.5),
    )
    assert passing("RamFilter", Request(SMALL), *hosts) == ["empty", "exact", "overcommitted"]


def test_one_instance_never_exceeds_the_whole_host() -> None:
    roomy = host("roomy", ram_allocation_ratio=4.0, cpu_allocation_ratio=16.0, disk_allocation_ratio=2.0)
    assert passing("RamFilter", Request(Claim(1, 16385, 1)), roomy) == []
    assert passing("CoreFilter", Request(Claim(9, 512, 1)), roomy) == []
    assert passing("DiskFilter", Request(Claim(1, 512, 101)), roomy) == []


def test_core_filter_counts_ratio_and_usage() -> None:
    hosts = host("full", HostUsage(vcpus=8)), host("ratio", HostUsage(vcpus=8), cpu_allocation_ratio=1.5)
    assert passing("CoreFilter", Request(SMALL), *hosts) == ["ratio"]


def test_disk_filter_counts_usage() -> None:
    hosts = host("full", HostUsage(disk_gb=100)), host("exact", HostUsage(disk_gb=99))
    assert passing("DiskFilter", Request(SMALL), *hosts) == ["exact"]


def test_compute_filter_wants_hosts_that_work() -> None:
    disabled = host("disabled")
    disabled.enabled = False
    down = host("down")
    down.up = False
    hosts = host("good"), disabled, down, host("forced", forced_down=True)
    assert passing("ComputeFilter", Request(SMALL), *hosts) == ["good"]


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        ({}, ["qemu", "xen"]),
        ({"capabilities:hypervisor_type": "xen"}, ["xen"]),
        ({"hypervisor_type": "<or> xen <or> kvm"}, ["xen"]),
        ({"capabilities:hypervisor_version": ">= 7002000"}, ["qemu"]),
        ({"capabilities:cpu_info:features": "<in> avx"}, ["qemu"]),
        ({"capabilities:cpu_info:topology:cores": "4"}, ["qemu"]),
        ({"capabilities:no_such_thing": "1"}, []),
        ({"hw:cpu_policy": "dedicated", "quota:cpu_shares": "10"}, ["qemu", "xen"]),
        ({"capabilities:free_ram_mb": ">= 16000"}, ["qemu"]),
        ({"capabilities:num_instances": "<= 0", "capabilities:hypervisor_type": "QEMU"}, ["qemu"]),
    ],
)
def test_compute_capabilities_filter(specs: dict[str, str], expected: list[str]) -> None:
    xen = host(
        "xen",
        HostUsage(memory_mb=1000, instances=1),
        HostInventory(hypervisor_type="xen", cpu_info="not JSON", hypervisor_version=4_000_000),
    )
    assert (
        passing("ComputeCapabilitiesFilter", Request(SMALL, extra_specs=specs), host("qemu"), xen) == expected
    )


def test_remembered_judgements_take_in_kinds_of_host_that_come_later() -> None:
    judge = FILTERS["ComputeCapabilitiesFilter"](SchedulerOptions())
    request = Request(SMALL, extra_specs={"hypervisor_type": "xen"})
    hosts = table(host("a"))
    first = judge.passing(hosts, request)
    hosts.update([host("b", has=HostInventory(hypervisor_type="xen"))])
    second = judge.passing(hosts, request)
    assert first is not None
    assert second is not None
    assert (first.tolist(), second.tolist()) == ([False], [False, True])


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, ["qemu", "arm"]),
        ({"hw_architecture": "aarch64"}, ["arm"]),
        ({"architecture": "amd64"}, ["qemu"]),
        ({"hw_vm_mode": "hvm", "img_hv_type": "kvm"}, ["arm"]),
        ({"hypervisor_type": "xapi"}, []),
        ({"hypervisor_version_requires": ">=7.1"}, ["qemu"]),
        ({"img_hv_requested_version": ">=6.0,<7.0", "hw_architecture": "arm64"}, ["arm"]),
    ],
)
def test_image_properties_filter(properties: dict[str, str], expected: list[str]) -> None:
    arm = host("arm", has=HostInventory(hypervisor_version=6_002_000))
    del arm.inventory.supported_instances[:]
    arm.inventory.supported_instances.append("aarch64,kvm,hvm")
    request = Request(SMALL, image_properties=properties)
    assert passing("ImagePropertiesFilter", request, host("qemu"), arm) == expected


def test_anti_affinity_filter_keeps_members_apart() -> None:
    request = Request(SMALL, group_policy="anti-affinity", group_hosts=["a"])
    assert passing("ServerGroupAntiAffinityFilter", request, host("a"), host("b")) == ["b"]
    request = Request(SMALL, group_policy="affinity", group_hosts=["a"])
    assert passing("ServerGroupAntiAffinityFilter", request, host("a"), host("b")) == ["a", "b"]


def test_affinity_filter_keeps_members_together() -> None:
    request = Request(SMALL, group_policy="affinity", group_hosts=["a", "a"])
    assert passing("ServerGroupAffinityFilter", request, host("a"), host("b")) == ["a"]
    first = Request(SMALL, group_policy="affinity")
    assert passing("ServerGroupAffinityFilter", first, host("a"), host("b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("value", "requirement", "expected"),
    [
        (4, "= 3", True),
        (4, "== 4", True),
        (4, "!= 4", False),
        (4, "<= 3", False),
        ("text", ">= 3", False),
        (4, ">=", False),
        ("abc", "s== abc", True),
        ("abc", "s< abd", True),
        ("abc", "s>= abd", False),
        ("abc", "s!= abc", False),
        ("abcdef", "<in> cde", True),
        (["a", "b"], "<all-in> a b", True),
        (["a", "b"], "<all-in> a c", False),
        ("2", "<or> 1 <or> 2", True),
        ("", "", True),
        ("plain", "plain", True),
        ("plain", "other", False),
    ],
)
def test_operators_of_extra_specs(value: object, requirement: str, expected: bool) -> None:
    assert matches(value, requirement) is expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [("7.2", True), (">7.1", True), ("<7.2.1", True), ("!=7.2", False), (">=8,<9", False), ("new", False)],
)
def test_versions_of_hypervisors(predicate: str, expected: bool) -> None:
    assert version_allowed(7_002_000, predicate) is expected

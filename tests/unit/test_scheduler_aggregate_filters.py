"""The scheduler's filters that act on what hosts' aggregates say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostUsage
from services.scheduler.filters import FILTERS
from services.scheduler.filters.aggregate_values import AggregateNumbers, values_of
from services.scheduler.hosts import Claim
from services.scheduler.options import SchedulerOptions
from services.scheduler.request import Request
from tests.unit.scheduler_hosts import host, selector, spec, table
from tests.unit.test_scheduler_filters import SMALL, passing


def within(name: str, used: HostUsage | None = None, **metadata: str) -> Host:
    """A host whose aggregates say that."""
    return host(name, used, aggregate_metadata=metadata)


def test_extra_specs_match_the_aggregates_metadata() -> None:
    hosts = (
        within("fast", ssd="true", cores="16"),
        within("slow", ssd="false", cores="8"),
        within("both", ssd="false, true"),
        within("plain"),
    )
    name = "AggregateInstanceExtraSpecsFilter"

    def asked(**specs: str) -> list[str]:
        return passing(name, Request(SMALL, extra_specs=specs), *hosts)

    assert asked() == ["fast", "slow", "both", "plain"]
    assert asked(ssd="true") == ["fast", "both"]
    scope = "aggregate_instance_extra_specs:"
    assert asked(**{scope + "ssd": "<or> true <or> maybe"}) == ["fast", "both"]
    assert asked(**{scope + "ssd": "false", scope + "cores": ">= 8"}) == ["slow"]
    assert asked(**{scope + "cores": ">= 8"}) == ["fast", "slow"]
    # What has another scope is for another filter.
    assert asked(**{"capabilities:ssd": "true", "hw:cpu_policy": "shared"}) == asked()
    assert asked(absent="1") == []


def test_images_are_kept_from_aggregates_with_other_values() -> None:
    hosts = (
        within("windows", None, **{"os_distro": "windows", "trust.level": "high"}),
        within("linux", os_distro="debian,ubuntu"),
        within("any", ssd="true"),
    )
    name = "AggregateImagePropertiesIsolation"
    debian = Request(SMALL, image_properties={"os_distro": "debian", "trust.level": "low"})
    assert passing(name, debian, *hosts) == ["linux", "any"]
    assert passing(name, Request(SMALL, image_properties={"os_distro": "windows"}), *hosts) == [
        "windows",
        "any",
    ]
    assert passing(name, Request(SMALL), *hosts) == ["windows", "linux", "any"]
    trust = SchedulerOptions(aggregate_image_properties_isolation_namespace="trust")
    assert passing(name, debian, *hosts, options=trust) == ["linux", "any"]
    high = Request(SMALL, image_properties={"os_distro": "debian", "trust.level": "high"})
    assert passing(name, high, *hosts, options=trust) == ["windows", "linux", "any"]
    colon = SchedulerOptions(
        aggregate_image_properties_isolation_namespace="trust",
        aggregate_image_properties_isolation_separator=":",
    )
    assert passing(name, debian, *hosts, options=colon) == ["windows", "linux", "any"]


def test_projects_are_kept_to_their_aggregates() -> None:
    hosts = within("theirs", filter_tenant_id="p1, p2"), within("empty", filter_tenant_id=""), within("any")
    name = "AggregateMultiTenancyIsolation"
    assert passing(name, Request(SMALL, project_id="p2"), *hosts) == ["theirs", "any"]
    assert passing(name, Request(SMALL, project_id="p3"), *hosts) == ["any"]


def test_flavors_are_kept_to_their_aggregates() -> None:
    hosts = within("large", instance_type="m1.large, m1.xlarge"), within("any")
    name = "AggregateTypeAffinityFilter"
    assert passing(name, Request(SMALL, flavor_name="m1.xlarge"), *hosts) == ["large", "any"]
    assert passing(name, Request(SMALL, flavor_name="m1.tiny"), *hosts) == ["any"]


@pytest.mark.parametrize(
    ("name", "key", "full"),
    [
        ("AggregateCoreFilter", "cpu_allocation_ratio", {"vcpus": 8}),
        ("AggregateRamFilter", "ram_allocation_ratio", {"memory_mb": 16384}),
        ("AggregateDiskFilter", "disk_allocation_ratio", {"disk_gb": 100}),
    ],
)
def test_aggregates_set_ratios(name: str, key: str, full: dict[str, int]) -> None:
    used = HostUsage(**full)

    def of(name: str, own: float, **metadata: str) -> Host:
        return host(name, used, aggregate_metadata=metadata, **{key: own})  # type: ignore[arg-type]

    hosts = (
        of("own", 2.0),
        of("lower", 2.0, **{key: "1.5"}),
        of("lowest of both", 2.0, **{key: "1.5, 1.0"}),
        # The conductor grants no claim beyond the host's own.
        of("higher", 1.0, **{key: "4"}),
        of("no number", 2.0, **{key: "much"}),
    )
    assert passing(name, Request(SMALL), *hosts) == ["own", "lower", "no number"]
    assert passing(name, Request(Claim(0, 0, 0)), *hosts) == [one.name for one in hosts]
    # One instance never exceeds the whole host, whatever the ratio.
    assert passing(name, Request(Claim(9, 16385, 101)), host("whole", aggregate_metadata={key: "2"})) == []


def test_hosts_with_many_instances() -> None:
    options = SchedulerOptions(max_instances_per_host=3)
    hosts = (
        host("few", HostUsage(instances=2)),
        host("many", HostUsage(instances=3)),
        within("fewer allowed", HostUsage(instances=2), max_instances_per_host="2"),
        within("more allowed", HostUsage(instances=3), max_instances_per_host="4"),
    )
    assert passing("NumInstancesFilter", Request(SMALL), *hosts, options=options) == ["few", "fewer allowed"]
    of_aggregates = passing("AggregateNumInstancesFilter", Request(SMALL), *hosts, options=options)
    assert of_aggregates == ["few", "more allowed"]


def test_hosts_with_much_work_under_way() -> None:
    options = SchedulerOptions(max_io_ops_per_host=3)
    hosts = (
        host("idle", HostUsage(workload=2)),
        host("busy", HostUsage(workload=3)),
        within("less allowed", HostUsage(workload=2), max_io_ops_per_host="2"),
        within("more allowed", HostUsage(workload=3), max_io_ops_per_host="8"),
    )
    assert passing("IoOpsFilter", Request(SMALL), *hosts, options=options) == ["idle", "less allowed"]
    assert passing("AggregateIoOpsFilter", Request(SMALL), *hosts, options=options) == [
        "idle",
        "more allowed",
    ]


@pytest.mark.parametrize("name", ["NumInstancesFilter", "AggregateIoOpsFilter"])
def test_what_is_proposed_counts(name: str) -> None:
    """Many at once don't all go to the one host that has place for few."""
    chooser = selector(
        [host("a"), host("b")], enabled_filters=(name,), max_instances_per_host=2, max_io_ops_per_host=2
    )
    found = chooser.select(spec(*"12345"), 0, 0.0)
    assert sorted(host for one in found for host in one.hosts) == ["a", "a", "b", "b"]
    assert found[-1].refusals[0].filter == name
    # Once the proposals are forgotten there is place again.
    assert chooser.select(spec("6"), 0, 1000.0)[0].hosts


def test_an_aggregate_that_changes_changes_the_choice() -> None:
    chooser = selector(
        [within("a", instance_type="big"), host("b")], enabled_filters=("AggregateTypeAffinityFilter",)
    )
    small = spec("1", flavor=Flavor(name="small", vcpus=1, memory_mb=1))
    assert list(chooser.select(small, 1, 0.0)[0].hosts) == ["b"]
    chooser.proposals.apply([host("a"), within("b", instance_type="big")])
    assert list(chooser.select(small, 1, 0.0)[0].hosts) == ["a"]


_ratio = st.one_of(st.none(), st.floats(0.1, 20).map(lambda ratio: f"{ratio:.2f}"), st.just("nonsense"))


@given(st.lists(st.tuples(_ratio, st.floats(0.5, 4), st.integers(0, 40)), min_size=1, max_size=20))
def test_ratios_of_many_hosts_are_those_of_each(rows: list[tuple[str | None, float, int]]) -> None:
    """All rows at once give what each by itself would."""
    hosts = [
        host(
            f"h{i}",
            HostUsage(vcpus=used),
            cpu_allocation_ratio=own,
            aggregate_metadata={} if ratio is None else {"cpu_allocation_ratio": ratio},
        )
        for i, (ratio, own, used) in enumerate(rows)
    ]

    def fits(ratio: str | None, own: float, used: int) -> bool:
        limit = int(8 * own)
        if ratio not in (None, "nonsense"):
            limit = min(limit, int(8 * float(ratio)))
        return used + 1 <= limit

    assert passing("AggregateCoreFilter", Request(SMALL), *hosts) == [
        one.name for one, row in zip(hosts, rows, strict=True) if fits(*row)
    ]


def test_numbers_of_a_table_that_grows() -> None:
    made = table(within("a", n="1"))
    numbers = AggregateNumbers("n", int)
    assert list(numbers.of(made)) == [1]
    made.update([within("b", n="3,2"), host("c")])
    assert list(numbers.or_else(made, 7)) == [1, 2, 7]
    assert np.isnan(numbers.of(made)[2])
    assert values_of(made.kinds[1]) == {"n": {"2", "3"}}


def test_all_of_them_can_be_named() -> None:
    names = [name for name in FILTERS if name.startswith("Aggregate")]
    assert len(names) == 9
    found = selector([host("a")], enabled_filters=tuple(names)).select(spec("1"), 0, 0.0)
    assert list(found[0].hosts) == ["a"]

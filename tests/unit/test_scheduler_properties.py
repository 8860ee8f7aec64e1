"""Whatever the hosts and requests: numpy judges as one host after another would be judged."""

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from services.scheduler.filters.image_properties import runs, wanted_by
from services.scheduler.hosts import HostKind, HostTable
from tests.unit.scheduler_hosts import host, selector, table

NAMES = [f"h{n}" for n in range(8)]


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """Any host."""
    made = host(
        draw(st.sampled_from(NAMES)),
        HostUsage(
            vcpus=draw(st.integers(0, 12)),
            memory_mb=draw(st.integers(0, 20000)),
            disk_gb=draw(st.integers(0, 120)),
            instances=draw(st.integers(0, 5)),
        ),
        HostInventory(hypervisor_type=draw(st.sampled_from(["QEMU", "KVM", "xen"]))),
        availability_zone=draw(st.sampled_from(["nova", "east"])),
        cpu_allocation_ratio=draw(st.sampled_from([1.0, 1.3, 16.0])),
        ram_allocation_ratio=draw(st.sampled_from([0.9, 1.0, 1.5])),
        disk_allocation_ratio=draw(st.sampled_from([1.0, 1.1])),
        forced_down=draw(st.booleans()),
    )
    made.up = draw(st.booleans())
    made.enabled = draw(st.booleans())
    return made


def unique(many: Sequence[Host]) -> list[Host]:
    """The last of each name."""
    return list({one.name: one for one in many}.values())


@st.composite
def specs(draw: st.DrawFn) -> RequestSpec:
    """Any request for up to four instances."""
    flavor = Flavor(
        vcpus=draw(st.integers(1, 8)),
        memory_mb=draw(st.integers(1, 16384)),
        root_gb=draw(st.integers(0, 60)),
        ephemeral_gb=draw(st.integers(0, 40)),
        swap_mb=draw(st.sampled_from([0, 1, 1024, 1025])),
    )
    wanted_type = draw(st.sampled_from(["", "QEMU", "<or> KVM <or> xen"]))
    if wanted_type:
        flavor.extra_specs["capabilities:hypervisor_type"] = wanted_type
    return RequestSpec(
        instance_ids=[f"i{n}" for n in range(draw(st.integers(1, 4)))],
        flavor=flavor,
        availability_zone=draw(st.sampled_from(["", "nova", "east"])),
        tried_hosts=draw(st.lists(st.sampled_from(NAMES), max_size=2)),
        group_policy=draw(st.sampled_from(["", "affinity", "anti-affinity"])),
        group_hosts=draw(st.lists(st.sampled_from(NAMES), max_size=2)),
        image_properties=draw(
            st.sampled_from([{}, {"hw_architecture": "i686"}, {"hypervisor_version_requires": ">=9"}])
        ),
    )


def allowed(one: Host, spec: RequestSpec, used: HostUsage, group: Sequence[str]) -> bool:
    """Whether a host may take an instance, by the plain rules, one host at a time."""
    has, flavor = one.inventory, spec.flavor
    disk = flavor.root_gb + flavor.ephemeral_gb + (flavor.swap_mb + 1023) // 1024
    hypervisor_type = flavor.extra_specs.get("capabilities:hypervisor_type", "")
    kind = HostKind("", has.hypervisor_version, "", tuple(has.supported_instances), (), ())
    return (
        one.name not in spec.tried_hosts
        and spec.availability_zone in ("", one.availability_zone)
        and used.memory_mb + flavor.memory_mb <= has.memory_mb * one.ram_allocation_ratio
        and used.vcpus + flavor.vcpus <= has.vcpus * one.cpu_allocation_ratio
        and (not disk or used.disk_gb + disk <= has.disk_gb * one.disk_allocation_ratio)
        and flavor.memory_mb <= has.memory_mb
        and flavor.vcpus <= has.vcpus
        and disk <= has.disk_gb
        and one.up
        and one.enabled
        and not one.forced_down
        and (not hypervisor_type or has.hypervisor_type in hypervisor_type.split())
        and runs(kind, wanted_by(spec.image_properties))
        and not (spec.group_policy == "anti-affinity" and one.name in group)
        and not (spec.group_policy == "affinity" and group and one.name not in group)
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(hosts(), max_size=8).map(unique), specs())
def test_selection_equals_the_naive_judgement(many: list[Host], spec: RequestSpec) -> None:
    flavor = spec.flavor
    disk = flavor.root_gb + flavor.ephemeral_gb + (flavor.swap_mb + 1023) // 1024
    used = {one.name: HostUsage() for one in many}
    for one in many:
        used[one.name].CopyFrom(one.usage)
    group = list(spec.group_hosts)
    for destination in selector(many).select(spec, len(many), 0.0):
        expected = {one.name for one in many if allowed(one, spec, used[one.name], group)}
        assert set(destination.hosts) == expected
        assert len(destination.hosts) == len(expected)
        if destination.hosts:
            best = destination.hosts[0]
            free = {o.name: o.inventory.memory_mb - used[o.name].memory_mb for o in many}
            assert free[best] == max(free[name] for name in expected)
            used[best].vcpus += flavor.vcpus
            used[best].memory_mb += flavor.memory_mb
            used[best].disk_gb += disk
            group.append(best)
        else:
            steps = [(step.before, step.after) for step in destination.refusals]
            assert not steps or steps[-1][1] == 0
            assert all(left == after for (_, left), (after, _) in pairwise(steps))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(hosts(), max_size=4), st.lists(st.sampled_from(NAMES), max_size=3)), max_size=8
    )
)
def test_a_table_changed_in_batches_equals_one_made_at_once(
    batches: list[tuple[list[Host], list[str]]],
) -> None:
    changed = HostTable()
    alive: dict[str, Host] = {}
    for added, removed in batches:
        changed.update(added, removed)
        for name in removed:
            alive.pop(name, None)
        alive.update((one.name, one) for one in added)
    whole = table(*alive.values())

    def picture(hosts: HostTable) -> dict[str, tuple[object, ...]]:
        columns = hosts.columns._asdict()
        zone, kind = columns.pop("zone"), columns.pop("kind")
        return {
            name: (
                *(int(column[row]) for column in columns.values()),
                hosts.zones[zone[row]],
                hosts.kinds[kind[row]],
            )
            for row, name in enumerate(hosts.names)
            if hosts.row(name) == row
        }

    assert picture(changed) == picture(whole)
    assert len(changed) == len(alive)

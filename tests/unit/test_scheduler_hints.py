"""What hints and server groups make of hosts."""

import json

import pytest

from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec
from novamesh.types.v1.host_pb2 import Host, HostInventory, HostUsage
from services.scheduler.filters import FILTERS
from services.scheduler.options import DEFAULT_FILTERS
from tests.unit.scheduler_hosts import host, selector, spec

HOSTS = [
    host("a", HostUsage(memory_mb=1024), HostInventory(host_ip="10.0.1.5", hypervisor_hostname="a.example")),
    host("b", HostUsage(memory_mb=2048), HostInventory(host_ip="10.0.2.5", hypervisor_hostname="b.example")),
    host("c", HostUsage(memory_mb=4096), HostInventory(hypervisor_hostname="c.example")),
]


def passing(wanted: RequestSpec, hosts: list[Host] = HOSTS) -> str:
    """The names of the hosts that all filters there are let pass."""
    found = selector(hosts, enabled_filters=tuple(FILTERS)).select(wanted, len(hosts), 0.0)
    return "".join(sorted(found[0].hosts))


def chosen(policy: str, *group: str, **options: object) -> str:
    """The host for one more member of a group."""
    found = selector(HOSTS, **options).select(spec("i", group_policy=policy, group_hosts=group), 0, 0.0)
    return found[0].hosts[0]


@pytest.mark.parametrize(("most", "expected"), [(0, "c"), (1, "c"), (2, "bc"), (3, "abc")])
def test_anti_affinity_counts_members(most: int, expected: str) -> None:
    wanted = spec(
        "i",
        group_policy="anti-affinity",
        group_hosts=["a", "a", "b"],
        group_max_server_per_host=most,
    )
    assert passing(wanted) == expected


def test_hosts_of_other_servers() -> None:
    assert passing(spec("i", scheduler_hints={"same_host": "x,y"}, same_hosts=["a", "c"])) == "ac"
    assert passing(spec("i", scheduler_hints={"same_host": "x"})) == ""
    assert passing(spec("i", scheduler_hints={"different_host": "x"}, different_hosts=["a"])) == "bc"
    assert passing(spec("i", scheduler_hints={"different_host": "x"})) == "abc"


@pytest.mark.parametrize(
    ("hints", "expected"),
    [
        ({"build_near_host_ip": "10.0.1.77"}, "a"),
        ({"build_near_host_ip": "10.0.1.77", "cidr": "/16"}, "ab"),
        ({"build_near_host_ip": "10.0.1.77", "cidr": "/99"}, ""),
        ({"build_near_host_ip": "fe80::1", "cidr": "/8"}, ""),
        ({"cidr": "/16"}, "abc"),
    ],
)
def test_near_an_address(hints: dict[str, str], expected: str) -> None:
    assert passing(spec("i", scheduler_hints=hints)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ([], "abc"),
        (["=", "$host", "a"], "a"),
        (["in", "$hypervisor_hostname", "a.example", "c.example"], "ac"),
        ([">=", "$free_ram_mb", 14336], "ab"),
        (["and", [">", "$free_ram_mb", 1], ["not", ["=", "$host", "a"]]], "bc"),
        (["and", ["<", "$vcpus_used", 1], ["or", ["=", "$host", "a"], ["=", "$host", "b"]]], "ab"),
        (["not", ["=", "$host", "a"]], "bc"),
        (["=", "$nothing", "a"], ""),
        (["=", "$host"], ""),
        (["<", "$host", 5], ""),
        (["shell", "$host"], ""),
        ("word", ""),
        ({"=": 1}, ""),
    ],
)
def test_queries(query: object, expected: str) -> None:
    assert passing(spec("i", scheduler_hints={"query": json.dumps(query)})) == expected


@pytest.mark.parametrize("query", ["[", "[" * 100_000, '["="' + ', ["="' * 5000])
def test_queries_that_can_not_be_read(query: str) -> None:
    assert passing(spec("i", scheduler_hints={"query": query})) == ""


def test_users_can_not_ask_for_hosts_unless_the_operator_lets_them() -> None:
    assert not {"JsonFilter", "SimpleCIDRAffinityFilter"} & set(DEFAULT_FILTERS)


def test_soft_policies_outweigh_free_memory_and_yield_to_filters() -> None:
    # a has the most memory left, c the least.
    assert chosen("soft-affinity") == "a"
    assert chosen("soft-affinity", "c") == "c"
    assert chosen("soft-affinity", "c", "b", "b") == "b"
    assert chosen("soft-anti-affinity", "a") == "b"
    assert chosen("soft-anti-affinity", "a", "b", "c", "c") == "a"
    assert chosen("soft-anti-affinity", "a", soft_anti_affinity_weight_multiplier=0.0) == "a"
    assert chosen("affinity", "c") == "c"


def test_members_of_one_request_see_each_other() -> None:
    hosts = [host(name) for name in "abcd"]
    for policy, hosts_used in (("soft-affinity", 1), ("soft-anti-affinity", 4), ("anti-affinity", 4)):
        found = selector(hosts).select(spec("1", "2", "3", "4", group_policy=policy), 0, 0.0)
        assert len({one.hosts[0] for one in found}) == hosts_used

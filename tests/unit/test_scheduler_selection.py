"""Choosing among the hosts that filters let pass."""

from collections import Counter
from collections.abc import Sequence

from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import HostUsage
from services.scheduler.selection import Selector
from tests.unit.scheduler_hosts import host, selector, spec


def test_the_host_with_most_free_memory_is_best_and_the_next_are_alternates() -> None:
    hosts = [host(f"h{i}", HostUsage(memory_mb=i * 1000)) for i in range(5)]
    [destination] = selector(hosts).select(spec("i1"), 2, 0.0)
    assert destination.hosts == ["h0", "h1", "h2"]
    assert not destination.refusals


def test_a_negative_multiplier_fills_hosts_up() -> None:
    hosts = [host("empty"), host("half", HostUsage(memory_mb=8000))]
    [destination] = selector(hosts, ram_weight_multiplier=-1.0).select(spec("i1"), 0, 0.0)
    assert destination.hosts == ["half"]


def test_refusals_say_what_each_filter_left_up_to_the_one_that_left_none() -> None:
    hosts = [host("a", HostUsage(memory_mb=16384)), host("b", availability_zone="east")]
    [destination] = selector(hosts).select(spec("i1", availability_zone="nova"), 0, 0.0)
    assert not destination.hosts
    assert [(r.filter, r.before, r.after) for r in destination.refusals] == [
        ("RetryFilter", 2, 2),
        ("AvailabilityZoneFilter", 2, 1),
        ("RamFilter", 1, 0),
    ]


def test_without_hosts_there_are_no_refusals() -> None:
    [destination] = selector([]).select(spec("i1", forced_host="a"), 3, 0.0)
    assert (list(destination.hosts), list(destination.refusals)) == ([], [])


def test_many_creates_at_once_spread_over_equal_hosts() -> None:
    chooser = selector([host(f"h{i}") for i in range(10)], seed=None)
    counts = Counter(chooser.select(spec(f"i{n}"), 0, 0.0)[0].hosts[0] for n in range(40))
    assert set(counts.values()) == {4}


def test_instances_of_one_request_count_one_another() -> None:
    destinations = selector([host("a"), host("b")]).select(
        spec("i1", "i2", "i3", flavor=Flavor(vcpus=8, memory_mb=512)), 0, 0.0
    )
    assert [len(d.hosts) for d in destinations] == [1, 1, 0]
    assert {d.hosts[0] for d in destinations[:2]} == {"a", "b"}
    assert destinations[2].refusals[-1].filter == "CoreFilter"


def test_anti_affinity_holds_within_one_request() -> None:
    request = spec("i1", "i2", "i3", group_policy="anti-affinity", group_hosts=["a"])
    destinations = selector([host("a"), host("b"), host("c")]).select(request, 0, 0.0)
    assert {d.hosts[0] for d in destinations[:2]} == {"b", "c"}
    assert destinations[2].refusals[-1].filter == "ServerGroupAntiAffinityFilter"


def test_affinity_holds_within_one_request() -> None:
    request = spec("i1", "i2", "i3", group_policy="affinity")
    destinations = selector([host("a"), host("b"), host("c")]).select(request, 0, 0.0)
    assert len({d.hosts[0] for d in destinations}) == 1


def test_hosts_that_will_not_do_are_left_out_whatever_filters_there_are() -> None:
    for filters in (("RetryFilter", "ComputeFilter"), ("ComputeFilter",), ()):
        chooser = selector([host("a"), host("b")], enabled_filters=filters)
        assert chooser.select(spec("i1", tried_hosts=["a", "gone"]), 3, 0.0)[0].hosts == ["b"]
        [refused] = chooser.select(spec("i2", tried_hosts=["a", "b"]), 3, 0.0)
        first = refused.refusals[0]
        assert (first.filter, first.after) == ("RetryFilter" if "RetryFilter" in filters else "TriedHosts", 0)
        # An administrator has his reasons.
        forced = spec("i3", tried_hosts=["a"], forced_host="a")
        assert chooser.select(forced, 3, 0.0)[0].hosts == ["a"]


def test_a_forced_host_passes_over_all_filters_but_compute() -> None:
    full = host("full", HostUsage(memory_mb=16384, vcpus=8), availability_zone="east")
    down = host("down")
    down.up = False
    chooser = selector([host("a"), full, down])
    assert chooser.select(spec("i1", forced_host="full"), 3, 0.0)[0].hosts == ["full"]
    [refused] = chooser.select(spec("i2", forced_host="down"), 3, 0.0)
    assert [(r.filter, r.before, r.after) for r in refused.refusals] == [
        ("ForcedHost", 3, 1),
        ("ComputeFilter", 1, 0),
    ]
    [unknown] = chooser.select(spec("i3", forced_host="nobody"), 3, 0.0)
    assert [(r.filter, r.after) for r in unknown.refusals] == [("ForcedHost", 0)]


def test_a_host_that_is_asked_for_must_pass_all_filters() -> None:
    full = host("full", HostUsage(memory_mb=16384, vcpus=8))
    chooser = selector([host("a"), host("b"), full])
    assert chooser.select(spec("i1", requested_host="b"), 3, 0.0)[0].hosts == ["b"]
    [refused] = chooser.select(spec("i2", requested_host="full"), 3, 0.0)
    assert [refused.refusals[0].filter, refused.refusals[-1].after] == ["RequestedHost", 0]
    assert len(refused.refusals) > 2


def test_the_same_seed_gives_the_same_choices() -> None:
    hosts = [host(f"h{i}") for i in range(20)]
    first, second = (selector(hosts, seed=7, host_subset_size=5) for _ in range(2))
    for n in range(20):
        assert first.select(spec(f"i{n}"), 3, 0.0) == second.select(spec(f"i{n}"), 3, 0.0)


def test_a_subset_chooses_among_the_best_only() -> None:
    hosts = [host(f"h{i}", HostUsage(memory_mb=i * 1000)) for i in range(6)]
    found = {
        selector(hosts, seed=n, host_subset_size=2).select(spec("i"), 0, 0.0)[0].hosts[0] for n in range(30)
    }
    assert found == {"h0", "h1"}


def two_places(**options: object) -> Selector:
    """Room for one instance on `a`, which is better, and for one on `b`."""
    return selector([host("a", HostUsage(vcpus=7)), host("b", HostUsage(vcpus=7, memory_mb=1000))], **options)


def chosen(chooser: Selector, instance_id: str, now: float = 0.0, tried: Sequence[str] = ()) -> list[str]:
    """The hosts proposed for one instance, without alternates."""
    return list(chooser.select(spec(instance_id, tried_hosts=tried), 0, now)[0].hosts)


def test_a_proposal_counts_until_its_claim_is_seen() -> None:
    chooser = two_places()
    assert chosen(chooser, "i1") == ["a"]
    assert chosen(chooser, "i2") == ["b"]
    claimed = host("a", HostUsage(vcpus=8, memory_mb=512, disk_gb=1, instances=1))
    chooser.proposals.apply([claimed])
    assert len(chooser.proposals) == 1
    # Its instance is deleted again: the place is free at once.
    chooser.proposals.apply([host("a", HostUsage(vcpus=7))])
    assert chosen(chooser, "i3") == ["a"]


def test_a_proposal_that_nobody_claims_ends() -> None:
    chooser = two_places(proposal_lifetime=5.0)
    chosen(chooser, "i1")
    assert chosen(chooser, "i2", 4.9) == ["b"]
    assert chosen(chooser, "i3", 5.0) == ["a"]


def test_asking_again_for_an_instance_takes_its_proposal_back() -> None:
    chooser = two_places()
    chosen(chooser, "i1")
    assert chosen(chooser, "i1", tried=["a"]) == ["b"]
    assert chosen(chooser, "i2") == ["a"]


def test_an_unrelated_change_of_a_host_leaves_its_proposals_standing() -> None:
    chooser = two_places()
    chosen(chooser, "i1")
    chooser.proposals.apply([host("a", HostUsage(vcpus=7), disabled_reason="x")])
    assert chosen(chooser, "i2") == ["b"]


def test_proposals_alone_never_refuse_an_instance() -> None:
    chooser = two_places()
    assert [chosen(chooser, f"i{n}") for n in range(3)] == [["a"], ["b"], ["a"]]
    # Those of its own request do: it can't have both.
    twins = chooser.select(spec("t1", "t2", "t3"), 0, 0.0)
    assert [len(twin.hosts) for twin in twins] == [1, 1, 0]
    # What the picture says does.
    full = [host("a", HostUsage(vcpus=8)), host("b", HostUsage(vcpus=8))]
    chooser.proposals.apply(full)
    [refused] = chooser.select(spec("i9"), 0, 0.0)
    assert refused.refusals[-1].filter == "CoreFilter"


def test_a_host_that_is_removed_takes_its_proposals_with_it() -> None:
    chooser = selector([host("a"), host("b", HostUsage(memory_mb=1000))])
    assert chooser.select(spec("i1"), 0, 0.0)[0].hosts == ["a"]
    chooser.proposals.apply([], ["a"])
    assert chooser.select(spec("i2"), 0, 0.1)[0].hosts == ["b"]
    chooser.proposals.apply([host("a")])
    chooser.proposals.expire(100.0)
    assert len(chooser.proposals) == 0

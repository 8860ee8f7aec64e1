"""An administrator's day with `nova`: 18.13.1, the last one, and 7.1.2, of 2017."""

from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from tests.clients.days.hosts import FIRST, SECOND
from tests.clients.days.nova_user import becomes
from tests.clients.days.people import Person
from tests.clients.newcomer import eventually
from tests.clients.shells import Shell

SECONDS = 60.0
MEMBER = "member"
"""Who somebody without rights of an administrator is to the shell."""
HOST = "OS-EXT-SRV-ATTR:host"


def day_with_18(nova: Shell, member: Person, hosts: AbstractContextManager[Any]) -> None:
    """At microversion 2.96, where hosts, services and hypervisors are named by UUIDs."""
    makes_a_flavor(nova, member, "for one project")
    with hosts:
        sets_quotas(nova, member)
        changes_the_default_quota(nova)
        makes_a_zone(nova)
        services = {row[2]: row[0] for row in nova.rows("service-list", "--binary", "nova-compute")}
        disables_a_host(nova, services[SECOND])
        boots_where_they_want(nova, ("--host", SECOND), ("--availability-zone", f"nova:{FIRST}"))
        lists_all_servers(nova, member)
        looks_at_hypervisors(nova, services[SECOND])
        migrates_a_server(nova, "--host", SECOND)
        migrates_a_running_server(nova)
        works_on_whole_hosts(nova)
        evacuates_a_host(nova, services[SECOND], becomes_status="SHUTOFF")
        reads_what_moved(nova)
        nova("refresh-network", "moved")
        takes_a_delete_back(nova)
    reads_usage(nova)


def day_with_7(nova: Shell, member: Person, hosts: AbstractContextManager[Any]) -> None:
    """At microversion 2.41, where they are named by names and numbers, and os-hosts is there."""
    makes_a_flavor(nova, member)
    with hosts:
        sets_quotas(nova, member)
        changes_the_default_quota(nova)
        makes_a_zone(nova)
        disables_a_host(nova, SECOND, "nova-compute")
        looks_at_the_old_hosts(nova)
        zones = (("--availability-zone", f"nova:{SECOND}"), ("--availability-zone", f"nova:{FIRST}"))
        boots_where_they_want(nova, *zones)
        lists_all_servers(nova, member)
        looks_at_hypervisors(nova, SECOND)
        looks_at_statistics(nova)
        migrates_a_server(nova)
        migrates_a_running_server(nova)
        works_on_whole_hosts(nova)
        evacuates_a_host(nova, SECOND, "nova-compute", becomes_status="ACTIVE")
        reads_what_moved(nova)
        takes_a_delete_back(nova)
    reads_usage(nova)


def makes_a_flavor(nova: Shell, member: Person, description: str = "") -> None:
    """A private one, which the member's project comes to see; extra specs; a description from 2.55 on."""
    name = f"for-{member.project_id}"
    (made,) = nova.rows("flavor-create", "--is-public", "false", name, "auto", "64", "1", "1")
    flavor = made[0]
    assert made[1:3] == [name, "64"]
    nova("flavor-key", flavor, "set", "hw:cpu_policy=shared", "hw:mem_page_size=any")
    nova("flavor-key", flavor, "unset", "hw:cpu_policy")

    def seen() -> list[str]:
        return [row[1] for row in nova.rows("flavor-list", user=MEMBER)]

    assert name not in seen()
    (access,) = nova.rows("flavor-access-add", flavor, member.project_id)
    assert access == [flavor, member.project_id]
    assert nova.rows("flavor-access-list", "--flavor", flavor) == [access]
    assert name in seen()
    if description:
        nova("flavor-update", flavor, description)
        assert nova.properties("flavor-show", flavor)["description"] == description
    assert nova.properties("flavor-show", flavor)["extra_specs"] == '{"hw:mem_page_size": "any"}'
    assert flavor in [row[0] for row in nova.rows("flavor-list", "--all", "--extra-specs")]
    assert nova.rows("flavor-access-remove", flavor, member.project_id) == []
    nova("flavor-delete", flavor)
    assert flavor not in [row[0] for row in nova.rows("flavor-list", "--all")]


def sets_quotas(nova: Shell, member: Person) -> None:
    """Of a project and of a user in it, and back."""
    project = ("--tenant", member.project_id)
    nova("quota-update", "--instances", "3", "--cores", "4", "--ram", "4096", member.project_id)
    nova("quota-update", "--user", member.user_id, "--instances", "2", member.project_id)
    shown = nova.properties("quota-show", *project)
    assert (shown["instances"], shown["cores"], shown["ram"]) == ("3", "4", "4096")
    shown = nova.properties("quota-show", *project, "--user", member.user_id)
    assert (shown["instances"], shown["cores"]) == ("2", "4")
    nova("quota-delete", *project, "--user", member.user_id)
    nova("quota-delete", *project)
    assert nova.properties("quota-show", *project)["instances"] == "10"


def changes_the_default_quota(nova: Shell) -> None:
    """The class `default`, which all projects without quotas of their own have."""
    nova("quota-class-update", "--instances", "11", "default")
    assert nova.properties("quota-class-show", "default")["instances"] == "11"
    assert nova.properties("quota-defaults")["instances"] == "11"
    nova("quota-class-update", "--instances", "10", "default")
    assert nova.properties("quota-show")["instances"] == "10"


def makes_a_zone(nova: Shell) -> None:
    """An aggregate with a host and a zone."""
    (made,) = nova.rows("aggregate-create", "rack", "edge")
    assert made[1:4] == ["rack", "edge", ""]
    (changed,) = nova.rows("aggregate-add-host", "rack", SECOND)
    assert changed[3] == f"'{SECOND}'"
    (changed,) = nova.rows("aggregate-set-metadata", "rack", "ssd=true")
    assert changed[4] == "'availability_zone=edge', 'ssd=true'"
    nova("aggregate-update", "--name", "shelf", "rack")
    (shown,) = nova.rows("aggregate-show", "shelf")
    assert shown[1:4] == ["shelf", "edge", f"'{SECOND}'"]
    zones = nova("availability-zone-list")
    assert zones.index("edge") < zones.index(SECOND) < zones.index("internal")
    (changed,) = nova.rows("aggregate-remove-host", "shelf", SECOND)
    assert changed[3] == ""
    nova("aggregate-delete", "shelf")
    assert nova.rows("aggregate-list") == []


def disables_a_host(nova: Shell, *service: str) -> None:
    """With a reason, and by saying that it is down."""

    def row() -> list[str]:
        return next(row for row in nova.rows("service-list", "--binary", "nova-compute") if SECOND in row)

    assert {each[1] for each in nova.rows("service-list")} >= {"nova-compute", "nova-scheduler"}
    nova("service-disable", "--reason", "new disk", *service)
    assert {"disabled", "new disk"} <= set(row())
    nova("service-enable", *service)
    assert "enabled" in row()
    (forced,) = nova.rows("service-force-down", *service)
    assert forced[-1] == "True"
    assert "down" in row()
    nova("service-force-down", "--unset", *service)
    eventually("the host to be up", lambda: "up" in row(), SECONDS)


def looks_at_the_old_hosts(nova: Shell) -> None:
    """os-hosts, which ended with 2.42."""
    listed = {(row[0], row[1]) for row in nova.rows("host-list")}
    assert listed >= {(FIRST, "compute"), (SECOND, "compute"), (FIRST, "scheduler")}
    shown = {row[1]: row[2] for row in nova.rows("host-describe", SECOND)}
    assert (shown["(total)"], shown["(used_now)"]) == ("1000", "0")
    for status in ("disable", "enable"):
        (changed,) = nova.rows("host-update", "--status", status, SECOND)
        assert changed[:2] == [SECOND, f"{status}d"]


def boots_where_they_want(nova: Shell, to_second: tuple[str, str], to_first: tuple[str, str]) -> None:
    """`moved` is what is moved about from here on, `other` goes along at times."""
    server = ("boot", "--image", "tiny", "--flavor", "m1.tiny", "--nic", "auto")
    for name, host, options in (("moved", SECOND, to_second), ("other", FIRST, to_first)):
        nova(*server, *options, name)
        shown = becomes(nova, name, "ACTIVE")
        assert (shown[HOST], shown["OS-EXT-SRV-ATTR:hypervisor_hostname"]) == (host, host)
        assert shown["OS-EXT-AZ:availability_zone"] == "nova"


def lists_all_servers(nova: Shell, member: Person) -> None:
    """Of all projects, by host, by project; nobody else has any now."""
    server = ("boot", "--image", "tiny", "--flavor", "m1.tiny", "--nic", "auto")
    theirs = nova.properties(*server, "theirs", user=MEMBER)["id"]
    eventually(
        "theirs to be ACTIVE",
        lambda: nova.properties("show", "--minimal", "theirs", user=MEMBER)["status"] == "ACTIVE",
        SECONDS,
    )

    def names(*options: str) -> set[str]:
        return {row[1] for row in nova.rows("list", *options)}

    assert names() == {"moved", "other"}
    assert names("--all-tenants") == {"moved", "other", "theirs"}
    assert names("--all-tenants", "--tenant", member.project_id) == {"theirs"}
    assert "moved" in names("--all-tenants", "--host", SECOND)
    assert "other" not in names("--all-tenants", "--host", SECOND)
    projects = {row[1]: row[2] for row in nova.rows("list", "--all-tenants")}
    assert projects["theirs"] == member.project_id
    nova("force-delete", theirs)
    eventually("theirs to be gone", lambda: names("--all-tenants") == {"moved", "other"}, SECONDS)


def looks_at_hypervisors(nova: Shell, second: str) -> None:
    """Both; `second` is how the client names the second."""
    assert {row[1]: row[2] for row in nova.rows("hypervisor-list")} == dict.fromkeys((FIRST, SECOND), "up")
    ((number, name, *_),) = nova.rows("hypervisor-list", "--matching", SECOND[:4])
    shown = nova.properties("hypervisor-show", second)
    assert (shown["id"], shown["hypervisor_type"], shown["status"]) == (number, "fake", "enabled")
    (server,) = nova.rows("hypervisor-servers", name)
    assert server[3] == SECOND
    assert server[1].startswith("instance-")
    assert nova.properties("diagnostics", "moved")


def looks_at_statistics(nova: Shell) -> None:
    """Sums over all hypervisors, to 2.87."""
    sums = nova.properties("hypervisor-stats")
    assert (sums["count"], sums["running_vms"], sums["vcpus_used"]) == ("2", "2", "2")


def migrates_a_server(nova: Shell, *to: str) -> None:
    """Cold, once confirmed and once, to a host where the client can say so, taken back."""
    nova("migrate", "moved")
    becomes(nova, "moved", "VERIFY_RESIZE")
    nova("resize-confirm", "moved")
    assert becomes(nova, "moved", "ACTIVE")[HOST] == FIRST
    nova("migrate", *to, "moved")
    assert becomes(nova, "moved", "VERIFY_RESIZE")[HOST] == SECOND
    nova("resize-revert", "moved")
    assert becomes(nova, "moved", "ACTIVE")[HOST] == FIRST
    nova("reset-state", "moved")
    assert nova.properties("show", "--minimal", "moved")["status"] == "ERROR"
    nova("reset-state", "--active", "moved")
    becomes(nova, "moved", "ACTIVE")


def comes_to(nova: Shell, host: str, *servers: str) -> None:
    """Wait until servers run on a host."""

    def probe(server: str) -> bool:
        shown = nova.properties("show", "--minimal", server)
        return (shown[HOST], shown["status"], shown["OS-EXT-STS:task_state"]) == (host, "ACTIVE", "-")

    for server in servers:
        eventually(f"{server} to run on {host}", partial(probe, server), SECONDS)


def migrates_a_running_server(nova: Shell) -> None:
    """To where the scheduler wants, and to a host."""
    nova("live-migration", "moved")
    comes_to(nova, SECOND, "moved")
    nova("live-migration", "moved", FIRST)
    comes_to(nova, FIRST, "moved")
    assert nova.rows("server-migration-list", "moved") == [], "only those on their way"


def works_on_whole_hosts(nova: Shell) -> None:
    """Commands that the client does for each server of a host: metadata, cold and live migrations."""
    nova("host-meta", FIRST, "set", "site=north")
    for server in ("moved", "other"):
        assert nova.properties("show", server)["metadata"] == '{"site": "north"}'
    assert [row[1] for row in nova.rows("host-servers-migrate", FIRST)] == ["True", "True"]
    for server in ("moved", "other"):
        becomes(nova, server, "VERIFY_RESIZE")
        nova("resize-confirm", server)
    comes_to(nova, SECOND, "moved", "other")
    assert [row[1] for row in nova.rows("host-evacuate-live", SECOND)] == ["True", "True"]
    comes_to(nova, FIRST, "moved", "other")
    assert [row[1] for row in nova.rows("host-evacuate-live", "--target-host", SECOND, FIRST)] == [
        *("True", "True")
    ]
    comes_to(nova, SECOND, "moved", "other")


def evacuates_a_host(nova: Shell, *service: str, becomes_status: str) -> None:
    """A host that is said to be down; what is evacuated stays off from 2.95 on."""
    nova("service-force-down", *service)
    nova("evacuate", "moved")
    assert becomes(nova, "moved", becomes_status)[HOST] == FIRST
    assert [row[1] for row in nova.rows("host-evacuate", "--target_host", FIRST, SECOND)] == ["True"]
    assert becomes(nova, "other", becomes_status)[HOST] == FIRST
    nova("service-force-down", "--unset", *service)


def reads_what_moved(nova: Shell) -> None:
    """The records of all that, and the actions."""
    server = nova.properties("show", "--minimal", "moved")["id"]
    statuses = [row[row.index(server) - 1] for row in nova.rows("migration-list") if server in row]
    assert sorted(statuses) == ["completed"] * 4 + ["confirmed"] * 2 + ["done", "reverted"]
    assert [row[0] for row in nova.rows("instance-action-list", "moved")] == [
        *("create", "migrate", "confirmResize", "migrate", "revertResize", "live-migration"),
        *("live-migration", "migrate", "confirmResize", "live-migration", "live-migration", "evacuate"),
    ]


def takes_a_delete_back(nova: Shell) -> None:
    """This cloud keeps what was deleted for a while."""
    server = nova.properties("show", "--minimal", "moved")["id"]
    nova("delete", "moved")
    becomes(nova, server, "SOFT_DELETED")
    nova("restore", server)
    becomes(nova, "moved", "ACTIVE")
    for name in ("moved", "other"):
        nova("force-delete", name)
    eventually("the servers to be gone", lambda: nova.rows("list") == [], SECONDS)
    deleted = {row[0]: row[3] for row in nova.rows("list", "--all-tenants", "--deleted")}
    assert deleted[server] == "DELETED"


def reads_usage(nova: Shell) -> None:
    """Of all projects, and of the own one, which had two servers."""
    ((servers, *_),) = nova.rows("usage")
    assert servers == "2"
    assert "2" in [row[1] for row in nova.rows("usage-list")]

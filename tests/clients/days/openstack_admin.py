"""An administrator's day with `openstack`, of two ages."""

from contextlib import AbstractContextManager
from typing import Any

from tests.clients.days.hosts import FIRST, SECOND
from tests.clients.days.people import Person
from tests.clients.newcomer import eventually
from tests.clients.shells import Shell

SECONDS = 60.0
MEMBER = "member"
"""Who somebody without rights of an administrator is to the shell."""
SERVER = ("--image", "tiny", "--flavor", "m1.tiny", "--network", "private")
HOST = "OS-EXT-SRV-ATTR:host"


def day(openstack: Shell, member: Person, hosts: AbstractContextManager[Any]) -> None:
    """What is there for a member's project, and what is done with the hosts while nobody else does."""
    makes_a_flavor(openstack, member)
    with hosts:
        sets_quotas(openstack, member)
        changes_the_default_quota(openstack)
        makes_a_zone(openstack)
        disables_a_host(openstack)
        looks_at_the_old_hosts(openstack)
        boots_where_they_want(openstack)
        lists_all_servers(openstack, member)
        looks_at_hypervisors(openstack)
        migrates_a_server(openstack)
        migrates_a_running_server(openstack)
        sets_states(openstack)
        unshelves_where_they_want(openstack)
        evacuates_a_host(openstack)
        reads_what_moved(openstack)
        takes_a_delete_back(openstack)
    reads_usage(openstack)


def becomes(openstack: Shell, server: str, status: str) -> Any:
    """What is shown of a server once it has a status and is at rest."""

    def probe() -> Any:
        shown = openstack.json("server", "show", server)
        return shown if (shown["status"], shown["OS-EXT-STS:task_state"]) == (status, None) else None

    return eventually(f"{server} to be {status}", probe, SECONDS)


def makes_a_flavor(openstack: Shell, member: Person) -> None:
    """A private one, which the member's project comes to see; extra specs; a description."""
    name = f"for-{member.project_id}"
    made = openstack.json(
        *("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", "--private"),
        *("--property", "hw:cpu_policy=shared", "--description", "small", name),
    )
    assert (made["ram"], made["os-flavor-access:is_public"], made["description"]) == (64, False, "small")
    assert made["properties"] == {"hw:cpu_policy": "shared"}

    def seen() -> list[str]:
        return [flavor["Name"] for flavor in openstack.json("flavor", "list", user=MEMBER)]

    assert name not in seen()
    openstack(
        *("flavor", "set", "--project", member.project_id, "--property", "hw:mem_page_size=any"),
        *("--description", "for one project", name),
    )
    assert name in seen()
    shown = openstack.json("flavor", "show", name)
    assert (shown["access_project_ids"], shown["description"]) == ([member.project_id], "for one project")
    assert shown["properties"] == {"hw:cpu_policy": "shared", "hw:mem_page_size": "any"}
    openstack("flavor", "unset", "--project", member.project_id, "--property", "hw:cpu_policy", name)
    listed = {flavor["Name"]: flavor for flavor in openstack.json("flavor", "list", "--all", "--long")}
    assert listed[name]["Properties"] == {"hw:mem_page_size": "any"}
    assert name not in seen()
    openstack("flavor", "delete", name)
    assert name not in [flavor["Name"] for flavor in openstack.json("flavor", "list", "--all")]


def limits_of(openstack: Shell, *words: str, user: str = "user") -> dict[str, int]:
    """What `quota show` answers, by resource."""
    return {quota["Resource"]: quota["Limit"] for quota in openstack.json("quota", "show", *words, user=user)}


def sets_quotas(openstack: Shell, member: Person) -> None:
    """Of a project, and back."""
    openstack(
        *("quota", "set", "--instances", "3", "--cores", "4", "--ram", "4096", "--key-pairs", "5"),
        member.project_id,
    )
    limits = limits_of(openstack, user=MEMBER)
    assert (limits["instances"], limits["cores"], limits["ram"], limits["key-pairs"]) == (3, 4, 4096, 5)
    listed = {quota["Project ID"]: quota for quota in openstack.json("quota", "list", "--compute")}
    assert (listed[member.project_id]["Cores"], listed[member.project_id]["Ram"]) == (4, 4096)
    openstack("quota", "delete", "--compute", member.project_id)
    assert limits_of(openstack, member.project_id)["instances"] == 10


def changes_the_default_quota(openstack: Shell) -> None:
    """The class `default`, which all projects without quotas of their own have."""
    openstack("quota", "set", "--class", "--instances", "11", "default")
    assert limits_of(openstack, "--default")["instances"] == 11
    openstack("quota", "set", "--class", "--instances", "10", "default")
    assert limits_of(openstack)["instances"] == 10


def makes_a_zone(openstack: Shell) -> None:
    """An aggregate with a host and a zone; its images are fetched ahead of its servers."""
    made = openstack.json("aggregate", "create", "--zone", "edge", "--property", "ssd=true", "rack")
    assert (made["name"], made["availability_zone"], made["hosts"]) == ("rack", "edge", [])
    assert openstack.json("aggregate", "add", "host", "rack", SECOND)["hosts"] == [SECOND]
    openstack("aggregate", "set", "--name", "shelf", "--property", "ssd=false", "--property", "u=1", "rack")
    openstack("aggregate", "unset", "--property", "u", "shelf")
    shown = openstack.json("aggregate", "show", "shelf")
    assert (shown["hosts"], shown["properties"]) == ([SECOND], {"ssd": "false"})
    (listed,) = openstack.json("aggregate", "list", "--long")
    assert (listed["Name"], listed["Availability Zone"]) == ("shelf", "edge")
    zones = {
        (row["Host Name"], row["Zone Name"])
        for row in openstack.json("availability", "zone", "list", "--long")
        if row["Service Name"] == "nova-compute"
    }
    assert zones == {(FIRST, "nova"), (SECOND, "edge")}
    openstack("aggregate", "cache", "image", "shelf", "tiny")
    assert openstack.json("aggregate", "remove", "host", "shelf", SECOND)["hosts"] == []
    openstack("aggregate", "delete", "shelf")
    assert openstack.json("aggregate", "list") == []


def services(openstack: Shell) -> dict[str, Any]:
    """nova-compute's, by host."""
    listed = openstack.json("compute", "service", "list", "--service", "nova-compute", "--long")
    return {service["Host"]: service for service in listed}


def disables_a_host(openstack: Shell) -> None:
    """With a reason, and by saying that it is down."""
    binaries = {service["Binary"] for service in openstack.json("compute", "service", "list")}
    assert binaries >= {"nova-compute", "nova-conductor", "nova-scheduler"}
    command = ("compute", "service", "set")
    openstack(*command, "--disable", "--disable-reason", "new disk", SECOND, "nova-compute")
    service = services(openstack)[SECOND]
    assert (service["Status"], service["Disabled Reason"]) == ("disabled", "new disk")
    openstack(*command, "--enable", SECOND, "nova-compute")
    assert services(openstack)[SECOND]["Status"] == "enabled"
    openstack(*command, "--down", SECOND, "nova-compute")
    service = services(openstack)[SECOND]
    assert (service["State"], service["Forced Down"]) == ("down", True)
    openstack(*command, "--up", SECOND, "nova-compute")
    eventually("the host to be up", lambda: services(openstack)[SECOND]["State"] == "up", SECONDS)


def looks_at_the_old_hosts(openstack: Shell) -> None:
    """os-hosts, which ended with 2.42."""
    listed = {(row["Host Name"], row["Service"]) for row in openstack.json("host", "list")}
    assert listed >= {(FIRST, "compute"), (SECOND, "compute"), (FIRST, "scheduler")}
    shown = {row["Project"]: row["CPU"] for row in openstack.json("host", "show", SECOND)}
    assert (shown["(total)"], shown["(used_now)"]) == (1000, 0)
    openstack("host", "set", "--disable", SECOND)
    assert services(openstack)[SECOND]["Status"] == "disabled"
    openstack("host", "set", "--enable", SECOND)


def boots_where_they_want(openstack: Shell) -> None:
    """By zone and host, by host, by node; `moved` is what is moved about from here on."""
    for name, options in (
        ("moved", ("--host", SECOND)),
        ("by-zone", ("--availability-zone", f"nova:{FIRST}")),
        ("by-node", ("--hypervisor-hostname", FIRST)),
    ):
        openstack("server", "create", *SERVER, *options, name)
    for name, host in (("moved", SECOND), ("by-zone", FIRST), ("by-node", FIRST)):
        shown = becomes(openstack, name, "ACTIVE")
        assert (shown[HOST], shown["OS-EXT-SRV-ATTR:hypervisor_hostname"]) == (host, host)
        assert (shown["host_status"], shown["OS-EXT-AZ:availability_zone"]) == ("UP", "nova")


def lists_all_servers(openstack: Shell, member: Person) -> None:
    """Of all projects, by host, by project, by states; nobody else has any now."""
    openstack("server", "create", *SERVER, "theirs", user=MEMBER)
    eventually(
        "theirs to be ACTIVE",
        lambda: openstack.json("server", "show", "theirs", user=MEMBER)["status"] == "ACTIVE",
        SECONDS,
    )

    def names(*options: str) -> set[str]:
        return {server["Name"] for server in openstack.json("server", "list", *options)}

    assert names() == {"moved", "by-zone", "by-node"}
    assert names("--all-projects") == {"moved", "by-zone", "by-node", "theirs"}
    assert names("--project", member.project_id) == {"theirs"}
    assert "moved" in names("--all-projects", "--host", SECOND)
    assert not names("--all-projects", "--host", SECOND) & {"by-zone", "by-node"}
    assert names("--all-projects", "--vm-state", "active", "--name", "by-") == {"by-zone", "by-node"}
    long = {server["Name"]: server for server in openstack.json("server", "list", "--all-projects", "--long")}
    assert (long["theirs"]["Project ID"], long["moved"]["Host"]) == (member.project_id, SECOND)
    openstack("server", "delete", "--force", "--all-projects", "theirs")
    eventually("theirs to be gone", lambda: "theirs" not in names("--all-projects"), SECONDS)


def looks_at_hypervisors(openstack: Shell) -> None:
    """Both, with two servers on the first and one on the second."""
    listed = {row["Hypervisor Hostname"]: row for row in openstack.json("hypervisor", "list", "--long")}
    assert {name: row["State"] for name, row in listed.items()} == dict.fromkeys((FIRST, SECOND), "up")
    (found,) = openstack.json("hypervisor", "list", "--matching", SECOND[:4])
    shown = openstack.json("hypervisor", "show", SECOND)
    assert (shown["id"], shown["hypervisor_type"], shown["status"]) == (found["ID"], "fake", "enabled")
    stats = openstack.json("hypervisor", "stats", "show")
    assert (stats["count"], stats["running_vms"], stats["vcpus_used"]) == (2, 3, 3)


def migrates_a_server(openstack: Shell) -> None:
    """Cold, to where the scheduler wants and confirmed, to a host and taken back."""
    openstack("server", "migrate", "moved")
    becomes(openstack, "moved", "VERIFY_RESIZE")
    openstack("server", "migration", "confirm", "moved")
    assert becomes(openstack, "moved", "ACTIVE")[HOST] == FIRST
    openstack("server", "migrate", "--host", SECOND, "moved")
    assert becomes(openstack, "moved", "VERIFY_RESIZE")[HOST] == SECOND
    openstack("server", "migration", "revert", "moved")
    assert becomes(openstack, "moved", "ACTIVE")[HOST] == FIRST


def migrates_a_running_server(openstack: Shell) -> None:
    """To where the scheduler wants, and to a host."""
    openstack("server", "migrate", "--live-migration", "moved")
    assert becomes(openstack, "moved", "ACTIVE")[HOST] == SECOND
    openstack("server", "migrate", "--live-migration", "--host", FIRST, "moved")
    assert becomes(openstack, "moved", "ACTIVE")[HOST] == FIRST


def sets_states(openstack: Shell) -> None:
    """ERROR and back."""
    for state in ("error", "active"):
        openstack("server", "set", "--state", state, "--auto-approve", "moved")
        assert openstack.json("server", "show", "moved")["status"] == state.upper()


def unshelves_where_they_want(openstack: Shell) -> None:
    """On a host of their choice."""
    openstack("server", "shelve", "--offload", "moved")
    becomes(openstack, "moved", "SHELVED_OFFLOADED")
    openstack("server", "unshelve", "--host", SECOND, "moved")
    assert becomes(openstack, "moved", "ACTIVE")[HOST] == SECOND


def evacuates_a_host(openstack: Shell) -> None:
    """A host that is said to be down; what is evacuated stays off from 2.95 on."""
    openstack("compute", "service", "set", "--down", SECOND, "nova-compute")
    openstack("server", "evacuate", "moved")
    assert becomes(openstack, "moved", "SHUTOFF")[HOST] == FIRST
    openstack("compute", "service", "set", "--up", SECOND, "nova-compute")
    eventually("the host to be up", lambda: services(openstack)[SECOND]["State"] == "up", SECONDS)
    openstack("server", "start", "moved")
    becomes(openstack, "moved", "ACTIVE")


def reads_what_moved(openstack: Shell) -> None:
    """The records of all that, the newest first."""
    moved = openstack.json("server", "migration", "list", "--server", "moved")
    assert [(row["Type"], row["Status"], row["Source Compute"], row["Dest Compute"]) for row in moved] == [
        ("evacuation", "done", SECOND, FIRST),
        ("live-migration", "completed", SECOND, FIRST),
        ("live-migration", "completed", FIRST, SECOND),
        ("migration", "reverted", FIRST, SECOND),
        ("migration", "confirmed", SECOND, FIRST),
    ]
    chosen = openstack.json(
        *("server", "migration", "list", "--server", "moved", "--type", "live-migration"),
        *("--status", "completed", "--limit", "1"),
    )
    assert [row["UUID"] for row in chosen] == [moved[1]["UUID"]]
    actions = [event["Action"] for event in openstack.json("server", "event", "list", "moved")]
    assert actions[::-1] == [
        *("create", "migrate", "confirmResize", "migrate", "revertResize", "live-migration"),
        *("live-migration", "shelve", "unshelve", "evacuate", "start"),
    ]


def takes_a_delete_back(openstack: Shell) -> None:
    """This cloud keeps what was deleted for a while."""
    server = openstack.json("server", "show", "moved")["id"]
    openstack("server", "delete", "moved")
    eventually(
        "moved to be kept",
        lambda: openstack.json("server", "show", server)["status"] == "SOFT_DELETED",
        SECONDS,
    )
    openstack("server", "restore", server)
    becomes(openstack, "moved", "ACTIVE")
    openstack("server", "delete", "--force", "--wait", "moved", "by-zone", "by-node")
    assert openstack.json("server", "list") == []
    deleted = {
        row["ID"]: row["Status"] for row in openstack.json("server", "list", "--all-projects", "--deleted")
    }
    assert deleted[server] == "DELETED"


def reads_usage(openstack: Shell) -> None:
    """Of all projects; the own one had three servers."""
    assert any(len(row["Servers"]) >= 3 for row in openstack.json("usage", "list"))
    usage = openstack.json("usage", "show")
    assert {server["name"] for server in usage["Servers"]} == {"moved", "by-zone", "by-node"}
    assert {server["state"] for server in usage["Servers"]} == {"terminated"}

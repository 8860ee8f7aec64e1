"""A user's day with `openstack` of two ages, command by command, on pretended guests."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.shells import Shell, shell
from tests.cloud import Cloud

pytestmark = pytest.mark.client

SERVER = ("--image", "tiny", "--flavor", "m1.tiny", "--network", "private")


@pytest.fixture(scope="module", params=["10.5.0", "9.0.1"])
def openstack(request: pytest.FixtureRequest, two_hosts: Cloud) -> Iterator[Shell]:
    with shell(two_hosts, "openstack", f"python-openstackclient=={request.param}") as opened:
        yield opened


@pytest.fixture(scope="module")
def web(openstack: Shell) -> Iterator[str]:
    """The id of a server that is ACTIVE before and after each test."""
    made = openstack.json("server", "create", *SERVER, "web")
    assert status(openstack, made["id"]) == "ACTIVE"
    yield str(made["id"])
    openstack("server", "delete", "--wait", made["id"])


def status(openstack: Shell, server: str) -> str:
    """What `server show` says, once no task is under way. With --wait a command would look every 5 s."""
    while True:
        shown = openstack.json("server", "show", server, "-c", "status", "-c", "OS-EXT-STS:task_state")
        if shown["OS-EXT-STS:task_state"] is None:
            return str(shown["status"])


def test_what_there_is(openstack: Shell) -> None:
    flavors = openstack.json("flavor", "list")
    assert [f["Name"] for f in flavors] == ["m1.tiny", "m1.small", "m1.medium", "m1.large", "m1.xlarge"]
    shown = openstack.json("flavor", "show", "m1.small")
    assert (shown["ram"], shown["disk"], shown["vcpus"]) == (2048, 20, 1)
    assert "tiny" in {image["Name"] for image in openstack.json("image", "list")}
    assert openstack.json("image", "show", "tiny")["status"] == "active"
    assert openstack.json("availability", "zone", "list", "--compute") == [
        {"Zone Name": "nova", "Zone Status": "available"}
    ]
    limits = {limit["Name"]: limit["Value"] for limit in openstack.json("limits", "show", "--absolute")}
    assert (limits["instances"], limits["instances_used"]) == (10, 0)
    assert {q["Resource"]: q["Limit"] for q in openstack.json("quota", "show")}["cores"] == 20
    aliases = {extension["Alias"] for extension in openstack.json("extension", "list", "--compute")}
    assert {"os-keypairs", "os-server-groups"} <= aliases
    versions = openstack.json("versions", "show", "--service", "compute")
    assert {v["Max Microversion"] for v in versions if v["Status"] == "CURRENT"} == {"2.104"}


def test_keypairs(openstack: Shell, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    public = tmp_path / "key.pub"
    made = openstack.json("keypair", "create", "--public-key", str(public), "mine")
    assert made["fingerprint"].count(":") == 15
    assert "PRIVATE KEY" in openstack("keypair", "create", "made")
    assert openstack("keypair", "show", "--public-key", "mine") == public.read_text().strip()
    assert {k["Name"] for k in openstack.json("keypair", "list")} == {"mine", "made"}
    assert "already exists" in openstack.refused("keypair", "create", "--public-key", str(public), "mine")
    openstack("keypair", "delete", "mine", "made")
    assert openstack.json("keypair", "list") == []


def test_a_server_with_everything(openstack: Shell, tmp_path: Path) -> None:
    (tmp_path / "user-data").write_text("#!/bin/sh\necho hello\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    openstack("keypair", "create", "--public-key", str(tmp_path / "key.pub"), "k")
    group = openstack.json("server", "group", "create", "--policy", "soft-anti-affinity", "apart")
    made = openstack.json(
        *("server", "create", *SERVER, "--key-name", "k", "--property", "a=1", "--tag", "red"),
        *("--description", "all mine", "--user-data", str(tmp_path / "user-data"), "--config-drive", "true"),
        *("--availability-zone", "nova", "--hint", f"group={group['id']}", "--wait", "all"),
    )
    assert (made["status"], made["key_name"], made["config_drive"]) == ("ACTIVE", "k", "True")
    assert (made["description"], made["tags"], made["properties"]) == ("all mine", ["red"], {"a": "1"})
    assert openstack.json("server", "group", "show", "apart")["members"] == [made["id"]]
    (listed,) = openstack.json("server", "list", "--long", "--name", "al", "--status", "ACTIVE")
    assert (listed["Image Name"], listed["Flavor"], listed["Power State"]) == ("tiny", "m1.tiny", 1)
    assert listed["Networks"]["private"][0] in openstack("server", "show", "all", "-c", "addresses")
    assert "boot 1" in openstack("console", "log", "show", "all")
    openstack("server", "delete", "--wait", "all")
    openstack("server", "group", "delete", "apart")
    assert openstack.json("server", "group", "list") == []
    openstack("keypair", "delete", "k")


def test_several_at_once(openstack: Shell) -> None:
    made = openstack.json("server", "create", *SERVER, "--min", "2", "--max", "3", "many")
    assert made["name"] == "many-1"
    for number in (1, 2, 3):
        assert status(openstack, f"many-{number}") == "ACTIVE"
    servers = {s["Name"]: s for s in openstack.json("server", "list", "--name", "many")}
    assert set(servers) == {"many-1", "many-2", "many-3"}
    assert len({s["Networks"]["private"][0] for s in servers.values()}) == 3
    newest = openstack.json("server", "list", "--name", "many", "--limit", "1")
    older = openstack.json("server", "list", "--name", "many", "--marker", newest[0]["ID"])
    assert {s["ID"] for s in newest + older} == {s["ID"] for s in servers.values()}
    openstack("server", "delete", "--wait", *servers)
    assert openstack.json("server", "list", "--name", "many") == []


def test_set_and_unset(openstack: Shell, web: str) -> None:
    openstack(
        *("server", "set", "--name", "renamed", "--property", "a=1", "--property", "b=2"),
        *("--tag", "red", "--description", "mine", web),
    )
    shown = openstack.json("server", "show", "renamed")
    assert (shown["id"], shown["description"], shown["tags"]) == (web, "mine", ["red"])
    openstack("server", "unset", "--property", "a", "--tag", "red", "--description", "renamed")
    shown = openstack.json("server", "show", web)
    assert (shown["properties"], shown["tags"], shown["description"] or "") == ({"b": "2"}, [], "")
    openstack("server", "set", "--password", "new-Secret-1", web)


def test_power(openstack: Shell, web: str) -> None:
    for command, becomes in (
        (("stop",), "SHUTOFF"),
        (("start",), "ACTIVE"),
        (("pause",), "PAUSED"),
        (("unpause",), "ACTIVE"),
        (("suspend",), "SUSPENDED"),
        (("resume",), "ACTIVE"),
        (("reboot",), "ACTIVE"),
        (("reboot", "--hard"), "ACTIVE"),
        (("dump", "create"), "ACTIVE"),
    ):
        openstack("server", *command, web)
        assert status(openstack, web) == becomes, command
    openstack("server", "lock", "--reason", "do not touch", web)
    shown = openstack.json("server", "show", web)
    assert (shown["locked"], shown["locked_reason"]) == (True, "do not touch")
    openstack("server", "unlock", web)
    events = openstack.json("server", "event", "list", web)
    assert {"create", "stop", "pause", "reboot", "lock"} <= {event["Action"] for event in events}
    first = next(event for event in events if event["Action"] == "create")
    shown = openstack.json("server", "event", "show", web, first["Request ID"])
    assert {event["result"] for event in shown["events"]} == {"Success"}


def test_resizes(openstack: Shell, web: str) -> None:
    for end, flavor in (
        (("resize", "revert"), "m1.tiny"),
        (("resize", "confirm"), "m1.small"),
    ):
        openstack("server", "resize", "--flavor", "m1.small", web)
        assert status(openstack, web) == "VERIFY_RESIZE"
        openstack("server", *end, web)
        assert status(openstack, web) == "ACTIVE"
        assert flavor in openstack("server", "show", web, "-c", "flavor")


def test_rebuild_and_rescue(openstack: Shell, web: str) -> None:
    rebuilt = openstack.json(
        "server", "rebuild", "--image", "tiny-disk", "--name", "anew", "--property", "c=3", web
    )
    assert rebuilt["id"] == web
    assert status(openstack, web) == "ACTIVE"
    shown = openstack.json("server", "show", "anew")
    assert (shown["properties"], shown["image"].split()[0]) == ({"c": "3"}, "tiny-disk")
    openstack("server", "rescue", "--image", "tiny", web)
    assert status(openstack, web) == "RESCUE"
    openstack("server", "unrescue", web)
    assert status(openstack, web) == "ACTIVE"


def test_shelves_and_images(openstack: Shell, web: str) -> None:
    openstack("server", "shelve", web)
    assert status(openstack, web) == "SHELVED_OFFLOADED"
    openstack("server", "unshelve", web)
    assert status(openstack, web) == "ACTIVE"
    made = openstack.json("server", "image", "create", "--name", "shot", "--wait", web)
    assert (made["name"], made["status"]) == ("shot", "active")
    for name in ("monday", "tuesday"):
        openstack("server", "backup", "create", "--name", name, "--type", "d", "--rotate", "1", web)
        assert status(openstack, web) == "ACTIVE"
    names = {image["Name"] for image in openstack.json("image", "list", "--private")}
    assert names == {"shot", "tuesday"}
    booted = openstack.json(
        *("server", "create", "--image", "shot", "--flavor", "m1.small", "--network", "private"),
        "from-shot",
    )
    assert status(openstack, booted["id"]) == "ACTIVE"
    openstack("server", "delete", booted["id"])
    openstack("image", "delete", "shot", "tuesday")


def test_usage_and_quota(openstack: Shell, web: str) -> None:
    shown = openstack.json("usage", "show")
    assert web in {server["instance_id"] for server in shown["Servers"]}
    project = openstack.users["user"]["OS_PROJECT_NAME"]
    openstack("quota", "set", "--instances", "1", project, user="admin")
    assert "Quota exceeded for instances" in openstack.refused("server", "create", *SERVER, "second")
    openstack("quota", "delete", project, user="admin")


def test_mistakes_are_told(openstack: Shell) -> None:
    assert "No Server found for nobody" in openstack.refused("server", "show", "nobody")
    refused = openstack.refused("server", "create", *SERVER, "--key-name", "no", "x")
    assert "Invalid key_name provided" in refused
    assert "os-hypervisors" in openstack.refused("hypervisor", "list")

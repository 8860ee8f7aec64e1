"""A user's day with `nova`: 18.13.1, the last one, and 7.1.2, of 2017."""

import json
import subprocess
from pathlib import Path

from tests.clients.newcomer import eventually
from tests.clients.shells import Shell

SECONDS = 60.0
# How m1.small is shown from 2.47 on, and before.
SMALL = ("m1.small", "2")


def day_with_18(nova: Shell, folder: Path) -> None:
    """From the first look at the cloud to an empty project, at microversion 2.96."""
    looks_around(nova)
    makes_a_key(nova, folder)
    group = makes_a_group(nova)
    web = boots(nova, folder, group, "--tags", "red,green", "--nic", "auto")
    lists_servers(nova, web)
    assert nova.rows("list", "--tags", "red", "--minimal", "--sort", "display_name:asc") == [
        [web[0], "web-1"],
        [web[1], "web-2"],
    ]
    changes_a_server(nova)
    tags_a_server(nova)
    switches_a_server(nova)
    nova("lock", "--reason", "do not touch", "front")
    assert nova.properties("show", "front")["locked_reason"] == "do not touch"
    assert [row[1] for row in nova.rows("list", "--locked", "True", "--minimal")] == ["front"]
    nova("unlock", "front")
    resizes_a_server(nova)
    rebuilds_a_server(nova)
    shelves_a_server(nova)
    snapshot = nova.properties("image-create", "--show", "front", "snap")
    assert (snapshot["name"], snapshot["image_type"]) == ("snap", "snapshot")
    becomes(nova, "front", "ACTIVE")
    saved = nova.properties("backup", "front", "daily", "daily", "1")
    assert (saved["name"], saved["image_type"]) == ("daily", "backup")
    becomes(nova, "front", "ACTIVE")
    looks_into_a_server(nova, web[0])
    assert nova.properties("server-topology", "front")["nodes"] == "[]"
    reads_what_happened(nova)
    reads_what_is_used(nova)
    clears_up(nova, group)


def day_with_7(nova: Shell, folder: Path) -> None:
    """The same at microversion 2.41, with what was still there: images, networks, extensions."""
    looks_around(nova)
    looks_at_what_went_away(nova)
    makes_a_key(nova, folder)
    group = makes_a_group(nova)
    web = boots(nova, folder, group)
    lists_servers(nova, web)
    changes_a_server(nova)
    tags_a_server(nova)
    switches_a_server(nova)
    nova("lock", "front")
    assert nova.properties("show", "front")["locked"] == "True"
    nova("unlock", "front")
    resizes_a_server(nova)
    rebuilds_a_server(nova)
    shelves_a_server(nova)
    takes_images(nova)
    looks_into_a_server(nova, web[0])
    (card,) = nova.rows("interface-list", "front")
    assert nova.rows("virtual-interface-list", "front") == [[card[1], card[4], card[2]]]
    reads_what_happened(nova)
    reads_what_is_used(nova)
    clears_up(nova, group)


def becomes(nova: Shell, server: str, status: str) -> dict[str, str]:
    """What is shown of a server once it has a status and is at rest."""

    def probe() -> dict[str, str] | None:
        shown = nova.properties("show", "--minimal", server)
        return shown if (shown["status"], shown["OS-EXT-STS:task_state"]) == (status, "-") else None

    return eventually(f"{server} to be {status}", probe, SECONDS)


def looks_around(nova: Shell) -> None:
    """Flavors, zones, versions."""
    flavors = {row[1]: row[0] for row in nova.rows("flavor-list")}
    assert (flavors["m1.tiny"], flavors["m1.medium"]) == ("1", "3")
    shown = nova.properties("flavor-show", "m1.small")
    assert (shown["ram"], shown["disk"], shown["vcpus"]) == ("2048", "20", "1")
    assert nova.rows("availability-zone-list") == [["nova", "available"]]
    assert "2.104" in nova("version-list")


def looks_at_what_went_away(nova: Shell) -> None:
    """Images and networks, which this client asks the Compute API for, at 2.35; extensions."""
    images = {row[1]: row[2] for row in nova.rows("image-list")}
    assert images == dict.fromkeys(("tiny", "tiny-disk", "tiny-kernel", "tiny-ramdisk"), "ACTIVE")
    assert nova.properties("image-show", "tiny")["kernel_id"]
    ((network_id, name, cidr),) = nova.rows("network-list")
    assert (name, cidr) == ("private", "10.80.0.0/24")
    assert nova.properties("network-show", "private")["gateway"] == "10.80.0.1"
    assert nova.rows("net-list") == nova.rows("tenant-network-list") == [[network_id, name, cidr]]
    assert nova.properties("tenant-network-show", network_id)["label"] == "private"
    assert "os-server-groups" in {row[2] for row in nova.rows("list-extensions")}


def makes_a_key(nova: Shell, folder: Path) -> None:
    """From a file: both clients can, the newer one at a microversion where the service makes none."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"], check=True)
    nova("keypair-add", "--pub-key", str(folder / "key.pub"), "mine")
    ((name, kind, fingerprint),) = nova.rows("keypair-list")
    assert (name, kind, fingerprint.count(":")) == ("mine", "ssh", 15)
    shown = nova("keypair-show", "mine")
    assert fingerprint in shown
    assert (folder / "key.pub").read_text().split()[1] in shown


def makes_a_group(nova: Shell) -> str:
    """A server group's id."""
    (made,) = nova.rows("server-group-create", "apart", "anti-affinity")
    assert made[1] == "apart"
    assert "anti-affinity" in made[4]
    assert [row[0] for row in nova.rows("server-group-list")] == [made[0]]
    return made[0]


def boots(nova: Shell, folder: Path, group: str, *more: str) -> list[str]:
    """Two servers of a group at once, which come to different hosts; their ids by name."""
    (folder / "user-data").write_text("#!/bin/sh\necho hello\n")
    booted = nova.properties(
        *("boot", "--image", "tiny", "--flavor", "m1.tiny", "--key-name", "mine", "--meta", "a=1"),
        *(
            "--user-data",
            str(folder / "user-data"),
            "--description",
            "two of a kind",
            "--config-drive",
            "true",
        ),
        *("--hint", f"group={group}", "--min-count", "2", "--max-count", "2", *more, "--poll", "web"),
    )
    assert (booted["name"], booted["key_name"], booted["config_drive"]) == ("web-1", "mine", "True")
    assert (booted["description"], json.loads(booted["metadata"])) == ("two of a kind", {"a": "1"})
    assert len(booted["adminPass"]) == 12
    assert booted["image"].split()[0] == "tiny"
    shown = [becomes(nova, name, "ACTIVE") for name in ("web-1", "web-2")]
    assert len({server["hostId"] for server in shown}) == 2
    ids = [server["id"] for server in shown]
    (listed,) = nova.rows("server-group-get", group)
    assert all(server in listed[-2] + listed[-1] for server in ids)
    return ids


def lists_servers(nova: Shell, web: list[str]) -> None:
    """Filters, orders, fields, pages, what was deleted since."""
    listed = nova.rows("list", "--sort", "display_name:asc")
    assert [row[:3] for row in listed] == [[web[0], "web-1", "ACTIVE"], [web[1], "web-2", "ACTIVE"]]
    assert [row[4] for row in listed] == ["Running", "Running"]
    assert all(row[5].startswith("private=10.80.0.") for row in listed)
    chosen = ("--name", "web-2", "--status", "ACTIVE", "--image", "tiny", "--flavor", "m1.tiny")
    assert nova.rows("list", *chosen, "--minimal") == [[web[1], "web-2"]]
    assert nova.rows("list", "--sort", "display_name:asc", "--limit", "1", "--minimal") == [[web[0], "web-1"]]
    assert nova.rows("list", "--fields", "name,key_name", "--sort", "display_name:desc") == [
        [web[1], "web-2", "mine"],
        [web[0], "web-1", "mine"],
    ]
    assert nova.rows("list", "--changes-since", "2100-01-01T00:00:00Z") == []


def changes_a_server(nova: Shell) -> None:
    """From here on the first one is `front`."""
    nova("update", "--name", "front", "--description", "renamed", "web-1")
    nova("meta", "front", "set", "b=2", "c=3")
    nova("meta", "front", "delete", "c")
    shown = nova.properties("show", "front")
    assert (shown["description"], json.loads(shown["metadata"])) == ("renamed", {"a": "1", "b": "2"})


def tags_a_server(nova: Shell) -> None:
    """Added, replaced, removed."""
    nova("server-tag-set", "front", "red", "green")
    nova("server-tag-add", "front", "blue")
    nova("server-tag-delete", "front", "green")
    assert nova.rows("server-tag-list", "front") == [["blue"], ["red"]]
    nova("server-tag-delete-all", "front")
    assert nova.rows("server-tag-list", "front") == []


def switches_a_server(nova: Shell) -> None:
    """Off, on, again, paused, suspended."""
    for command, status in (
        ("stop", "SHUTOFF"),
        ("start", "ACTIVE"),
        ("pause", "PAUSED"),
        ("unpause", "ACTIVE"),
        ("suspend", "SUSPENDED"),
        ("resume", "ACTIVE"),
        ("reboot", "ACTIVE"),
    ):
        nova(command, "front")
        becomes(nova, "front", status)
    nova("reboot", "--hard", "--poll", "front")
    nova("trigger-crash-dump", "front")


def resizes_a_server(nova: Shell) -> None:
    """One resize is confirmed, one taken back."""
    nova("resize", "--poll", "front", "m1.small")
    becomes(nova, "front", "VERIFY_RESIZE")
    nova("resize-confirm", "front")
    assert becomes(nova, "front", "ACTIVE")["flavor"] in SMALL
    nova("resize", "front", "m1.medium")
    assert becomes(nova, "front", "VERIFY_RESIZE")["flavor"] not in SMALL
    nova("resize-revert", "front")
    assert becomes(nova, "front", "ACTIVE")["flavor"] in SMALL


def rebuilds_a_server(nova: Shell) -> None:
    """From another image, and a rescue."""
    rebuilt = nova.properties("rebuild", "--meta", "d=4", "front", "tiny-disk")
    assert rebuilt["image"].split()[0] == "tiny-disk"
    assert json.loads(becomes(nova, "front", "ACTIVE")["metadata"]) == {"d": "4"}
    assert len(nova.properties("rescue", "--image", "tiny", "front")["adminPass"]) == 12
    becomes(nova, "front", "RESCUE")
    nova("unrescue", "front")
    becomes(nova, "front", "ACTIVE")


def shelves_a_server(nova: Shell) -> None:
    """Away from its host, and back."""
    nova("shelve", "front")
    assert becomes(nova, "front", "SHELVED_OFFLOADED")["hostId"] == ""
    nova("unshelve", "front")
    becomes(nova, "front", "ACTIVE")


def takes_images(nova: Shell) -> None:
    """A snapshot, what is said of it, and a backup, in a client that shows the images itself."""
    nova("image-create", "front", "snap")
    becomes(nova, "front", "ACTIVE")
    eventually("the snapshot", lambda: nova.properties("image-show", "snap")["status"] == "active", SECONDS)
    nova("image-meta", "snap", "set", "season=winter")
    assert nova.properties("image-show", "snap")["season"] == "winter"
    nova("image-meta", "snap", "delete", "season")
    assert "season" not in nova.properties("image-show", "snap")
    nova("backup", "front", "daily", "daily", "1")
    becomes(nova, "front", "ACTIVE")
    own = {row[1] for row in nova.rows("image-list") if row[3]}
    assert own == {"snap", "daily"}
    nova("image-delete", "snap")


def looks_into_a_server(nova: Shell, server_id: str) -> None:
    """The console, its password, its network card."""
    log = nova("console-log", "front")
    assert server_id in log
    assert nova("console-log", "--length", "2", "front") == log.splitlines()[-1]
    nova("clear-password", "front")
    assert nova("get-password", "front") == ""
    ((state, _, _, address, mac, *_),) = nova.rows("interface-list", "front")
    assert (state, address[:8], mac[:9]) == ("ACTIVE", "10.80.0.", "fa:16:3e:")


def reads_what_happened(nova: Shell) -> None:
    """The actions, the oldest first."""
    actions = nova.rows("instance-action-list", "front")
    assert [row[0] for row in actions] == [
        *("create", "stop", "start", "pause", "unpause", "suspend", "resume", "reboot", "reboot"),
        *("trigger_crash_dump", "lock", "unlock"),
        *("resize", "confirmResize", "resize", "revertResize", "rebuild", "rescue", "unrescue"),
        *("shelve", "unshelve", "createImage", "createBackup"),
    ]
    assert nova.properties("instance-action", "front", actions[0][1])["action"] == "create"


def reads_what_is_used(nova: Shell) -> None:
    """Limits, quota and usage of a project with an m1.tiny and an m1.small."""
    limits = nova.rows("limits")
    assert ["Instances", "2", "10"] in limits
    assert ["RAM", "2560", "51200"] in limits
    assert nova.properties("quota-show")["cores"] == "20"
    assert "'in_use': 2560" in nova.properties("quota-show", "--detail")["ram"]
    assert nova.properties("quota-defaults")["instances"] == "10"
    ((servers, *_),) = nova.rows("usage")
    assert servers == "2"


def clears_up(nova: Shell, group: str) -> None:
    """Everything is given back."""
    nova("delete", "front", "web-2")
    eventually("the servers to be gone", lambda: nova.rows("list") == [], SECONDS)
    gone = {row[1]: row[2] for row in nova.rows("list", "--changes-since", "2020-01-01T00:00:00Z")}
    assert gone == {"front": "DELETED", "web-2": "DELETED"}
    nova("server-group-delete", group)
    assert nova.rows("server-group-list") == []
    nova("keypair-delete", "mine")
    assert nova.rows("keypair-list") == []

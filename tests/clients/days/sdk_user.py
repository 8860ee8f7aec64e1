"""A user's day with openstacksdk, by its compute proxy."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.clients.newcomer import eventually

SECONDS = 60.0
PAUSE = 0.3


def day(user: Any, folder: Path) -> None:
    """From the first look at the cloud to an empty project."""
    looks_around(user)
    makes_a_key(user, folder)
    group, web = boots(user)
    lists_servers(user, web)
    changes_a_server(user, web[0])
    switches_a_server(user, web[0])
    locks_a_server(user, web[0])
    resizes_a_server(user, web[0])
    rebuilds_a_server(user, web[0])
    shelves_a_server(user, web[0])
    takes_images(user, web[0])
    looks_into_a_server(user, web[0])
    reads_what_happened(user, web[0])
    reads_what_is_used(user)
    clears_up(user, group, web)


def becomes(user: Any, server: Any, status: str) -> Any:
    """The server once it has the status and is at rest."""

    def probe() -> Any:
        shown = user.compute.get_server(server)
        return shown if (shown.status, shown.task_state) == (status, None) else None

    return eventually(f"{server.name} to be {status}", probe, SECONDS)


def looks_around(user: Any) -> None:
    """Images, flavors, zones, extensions."""
    assert {image.name for image in user.image.images()} == {
        *("tiny", "tiny-disk", "tiny-kernel", "tiny-ramdisk"),
    }
    assert user.compute.find_image("tiny").id == user.image.find_image("tiny").id
    flavors = {flavor.name: flavor for flavor in user.compute.flavors()}
    assert (flavors["m1.tiny"].ram, flavors["m1.tiny"].disk, flavors["m1.tiny"].vcpus) == (512, 1, 1)
    assert user.compute.find_flavor("m1.small").id == flavors["m1.small"].id
    assert [zone.name for zone in user.compute.availability_zones()] == ["nova"]
    assert user.compute.find_extension("os-keypairs")


def makes_a_key(user: Any, folder: Path) -> None:
    """openstacksdk asks at 2.10 at most for this, where the service still makes pairs."""
    made = user.compute.create_keypair(name="mine")
    assert "PRIVATE KEY" in made.private_key
    (listed,) = user.compute.keypairs()
    assert (listed.name, listed.fingerprint) == ("mine", made.fingerprint)
    assert user.compute.find_keypair("mine").public_key == made.public_key
    user.compute.create_keypair(name="again", public_key=made.public_key)
    user.compute.delete_keypair("again")


def boots(user: Any) -> tuple[Any, list[Any]]:
    """A server group and two servers of it, made at once, which come to different hosts."""
    group = user.compute.create_server_group(name="apart", policy="anti-affinity")
    assert group.policy == "anti-affinity"
    made = user.compute.create_server(
        name="web",
        image_id=user.image.find_image("tiny").id,
        flavor_id=user.compute.find_flavor("m1.tiny").id,
        networks="auto",
        key_name="mine",
        user_data=base64.b64encode(b"#!/bin/sh\necho hello\n").decode(),
        metadata={"a": "1"},
        description="two of a kind",
        tags=["red"],
        config_drive=True,
        min_count=2,
        max_count=2,
        scheduler_hints={"group": group.id},
    )
    assert len(made.admin_password) == 12
    web = sorted(user.compute.servers(), key=lambda server: str(server.name))
    web = [user.compute.wait_for_server(server, interval=PAUSE, wait=SECONDS) for server in web]
    first = web[0]
    assert (first.id, first.name, first.key_name, first.has_config_drive) == (
        made.id,
        "web-1",
        "mine",
        "True",
    )
    assert (first.metadata, first.tags, first.description) == ({"a": "1"}, ["red"], "two of a kind")
    assert len({server.host_id for server in web}) == 2
    assert first.addresses["private"][0]["addr"].startswith("10.80.0.")
    assert set(user.compute.get_server_group(group).member_ids) == {server.id for server in web}
    assert [found.name for found in user.compute.server_groups()] == ["apart"]
    return group, web


def lists_servers(user: Any, web: list[Any]) -> None:
    """Filters, orders, pages."""

    def ids(**query: Any) -> list[str]:
        return [str(server.id) for server in user.compute.servers(**query)]

    both = [server.id for server in web]
    assert ids(sort_key="display_name", sort_dir="asc") == both
    assert ids(sort_key="display_name", sort_dir="desc", limit=1) == both[::-1], "it follows the pages"
    assert ids(name="web-2", status="ACTIVE", vm_state="active") == both[1:]
    tiny = user.compute.find_flavor("m1.tiny").id
    assert ids(tags="red", flavor=tiny, limit=1, paginated=False) == both[1:], "the newest first"
    assert ids(ip=f"^{web[0].addresses['private'][0]['addr']}$") == both[:1]
    assert ids(changes_since="2100-01-01T00:00:00Z") == ids(key_name="other") == []
    assert [server.name for server in user.compute.servers(details=False, name="web-1")] == ["web-1"]


def changes_a_server(user: Any, server: Any) -> None:
    """Name, description, metadata and tags."""
    changed = user.compute.update_server(server, name="front", description="renamed")
    assert (changed.name, changed.description) == ("front", "renamed")
    user.compute.set_server_metadata(server, b="2", c="3")
    user.compute.delete_server_metadata(server, ["c"])
    assert user.compute.get_server_metadata(server).metadata == {"a": "1", "b": "2"}
    user.compute.add_tag_to_server(server, "blue")
    assert sorted(user.compute.get_server(server).tags) == ["blue", "red"]
    user.compute.remove_tag_from_server(server, "red")
    assert user.compute.get_server(server).tags == ["blue"]
    user.compute.remove_tags_from_server(server)
    assert user.compute.get_server(server).tags == []
    assert user.compute.find_server("front").id == server.id


def switches_a_server(user: Any, server: Any) -> None:
    """Off, on, again, paused, suspended."""
    steps: tuple[tuple[Callable[..., None], tuple[str, ...], str], ...] = (
        (user.compute.stop_server, (), "SHUTOFF"),
        (user.compute.start_server, (), "ACTIVE"),
        (user.compute.pause_server, (), "PAUSED"),
        (user.compute.unpause_server, (), "ACTIVE"),
        (user.compute.suspend_server, (), "SUSPENDED"),
        (user.compute.resume_server, (), "ACTIVE"),
        (user.compute.reboot_server, ("SOFT",), "ACTIVE"),
        (user.compute.reboot_server, ("HARD",), "ACTIVE"),
        (user.compute.trigger_server_crash_dump, (), "ACTIVE"),
    )
    for act, arguments, status in steps:
        act(server, *arguments)
        becomes(user, server, status)


def locks_a_server(user: Any, server: Any) -> None:
    """With a reason."""
    user.compute.lock_server(server, locked_reason="do not touch")
    shown = user.compute.get_server(server)
    assert (shown.is_locked, shown.locked_reason) == (True, "do not touch")
    user.compute.unlock_server(server)
    assert not user.compute.get_server(server).is_locked


def resizes_a_server(user: Any, server: Any) -> None:
    """One resize is confirmed, one taken back."""
    small, medium = (user.compute.find_flavor(name) for name in ("m1.small", "m1.medium"))
    user.compute.resize_server(server, small)
    becomes(user, server, "VERIFY_RESIZE")
    user.compute.confirm_server_resize(server)
    assert becomes(user, server, "ACTIVE").flavor.original_name == "m1.small"
    user.compute.resize_server(server, medium)
    assert becomes(user, server, "VERIFY_RESIZE").flavor.original_name == "m1.medium"
    user.compute.revert_server_resize(server)
    assert becomes(user, server, "ACTIVE").flavor.original_name == "m1.small"


def rebuilds_a_server(user: Any, server: Any) -> None:
    """From another image, and a rescue."""
    disk, tiny = (user.image.find_image(name) for name in ("tiny-disk", "tiny"))
    user.compute.rebuild_server(server, disk.id, metadata={"d": "4"})
    rebuilt = becomes(user, server, "ACTIVE")
    assert (rebuilt.image.id, rebuilt.metadata) == (disk.id, {"d": "4"})
    user.compute.rescue_server(server, image=tiny.id)
    becomes(user, server, "RESCUE")
    user.compute.unrescue_server(server)
    becomes(user, server, "ACTIVE")


def shelves_a_server(user: Any, server: Any) -> None:
    """Away from its host, and back."""
    user.compute.shelve_server(server)
    assert becomes(user, server, "SHELVED_OFFLOADED").host_id == ""
    user.compute.unshelve_server(server)
    becomes(user, server, "ACTIVE")


def takes_images(user: Any, server: Any) -> None:
    """A snapshot, and backups that rotate."""
    taken = user.compute.create_server_image(server, "snap", metadata={"season": "winter"}, wait=True)
    assert (taken.status, taken.properties["image_type"], taken.properties["season"]) == (
        *("active", "snapshot", "winter"),
    )
    becomes(user, server, "ACTIVE")
    for _ in range(2):
        user.compute.backup_server(server, "daily", "daily", 1)
        becomes(user, server, "ACTIVE")
    assert sorted(image.name for image in user.image.images(visibility="private")) == ["daily", "snap"]


def looks_into_a_server(user: Any, server: Any) -> None:
    """The console, passwords, addresses."""
    log = user.compute.get_server_console_output(server)["output"]
    assert server.id in log
    assert user.compute.get_server_console_output(server, length=2)["output"] == log.splitlines()[-1] + "\n"
    user.compute.change_server_password(server, "a new secret")
    user.compute.clear_server_password(server)
    assert not user.compute.get_server_password(server)
    (card,) = user.compute.server_interfaces(server)
    (address,) = user.compute.server_ips(server, network_label="private")
    assert (card.port_state, card.fixed_ips[0]["ip_address"]) == ("ACTIVE", address.address)
    # Its own method for this forgets to ask for a microversion.
    topology = user.compute.get(f"/servers/{server.id}/topology", microversion="2.78").json()
    assert topology == {"nodes": [], "pagesize_kb": None}


def reads_what_happened(user: Any, server: Any) -> None:
    """The actions, the newest first."""
    actions = list(user.compute.server_actions(server))
    assert [action.action for action in actions][::-1] == [
        *("create", "stop", "start", "pause", "unpause", "suspend", "resume", "reboot", "reboot"),
        *("trigger_crash_dump", "lock", "unlock", "resize", "confirmResize", "resize", "revertResize"),
        *("rebuild", "rescue", "unrescue", "shelve", "unshelve"),
        *("createImage", "createBackup", "createBackup", "changePassword"),
    ]
    shown = user.compute.get_server_action(actions[-1].request_id, server)
    assert (shown.action, shown.events[0].result) == ("create", "Success")


def reads_what_is_used(user: Any) -> None:
    """Limits, quota and usage of a project with an m1.tiny and an m1.small."""
    limits = user.compute.get_limits().absolute
    assert (limits.instances, limits.instances_used, limits.total_ram_used) == (10, 2, 2560)
    quota = user.compute.get_quota_set(user.current_project_id, usage=True)
    assert (quota.ram, quota.usage["ram"], quota.usage["server_groups"]) == (51200, 2560, 1)
    assert user.compute.get_quota_set_defaults(user.current_project_id).cores == 20
    # Without a beginning it would be of no time at all.
    yesterday = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    usage = user.compute.get_usage(user.current_project_id, start=yesterday)
    assert {record.name for record in usage.server_usages} == {"front", "web-2"}
    assert usage.total_vcpus_usage > 0


def clears_up(user: Any, group: Any, web: list[Any]) -> None:
    """Everything is given back."""
    for server in web:
        user.compute.delete_server(server)
    for server in web:
        user.compute.wait_for_delete(server, interval=PAUSE, wait=SECONDS)
    assert list(user.compute.servers()) == []
    user.compute.delete_server_group(group)
    assert list(user.compute.server_groups()) == []
    for name in ("snap", "daily"):
        user.image.delete_image(user.image.find_image(name))
    user.compute.delete_keypair("mine")
    assert list(user.compute.keypairs()) == []

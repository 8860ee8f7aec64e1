"""A newcomer's first hour: README's commands with the `openstack` client and ssh, on real guests.

One cloud for all of it, and the tests in the order of the file: a guest takes ten seconds to boot.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.clients.newcomer import Newcomer, eventually
from tests.cloud import running_cloud

pytestmark = [pytest.mark.real, pytest.mark.client]

USER_DATA = """#!/bin/sh
echo "user-data speaks in $(hostname)"
echo by user-data > /root/marker
sync
"""
# Sockets of libvirt, files of dnsmasq.
RUN_FOLDER = re.compile(r"/run/novamesh(?:-libvirt-[0-9a-f]+|/[0-9a-f]+)")


@dataclass
class Guest:
    """A server of the cloud."""

    id: str
    name: str
    address: str
    answer: Any


def fixed_address(answer: Any) -> str:
    """The only address of a server, as the client shows it."""
    (addresses,) = answer["addresses"].values()
    (address,) = addresses
    return str(address)


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "user-data").write_text(USER_DATA)
    with running_cloud(folder / "state") as cloud:
        user = Newcomer(cloud, folder / "k.pem")
        user.make_key("k")
        yield user


@pytest.fixture(scope="module")
def vm1(newcomer: Newcomer) -> Guest:
    answer = newcomer.boot("vm1", "--user-data", str(newcomer.key.with_name("user-data")))
    return Guest(answer["id"], "vm1", fixed_address(answer), answer)


@pytest.fixture(scope="module")
def vm2(newcomer: Newcomer, vm1: Guest) -> Guest:
    answer = newcomer.boot("vm2", "--use-config-drive", image="tiny-disk")
    return Guest(answer["id"], "vm2", fixed_address(answer), answer)


def test_the_client_shows_an_active_server(newcomer: Newcomer, vm1: Guest) -> None:
    assert vm1.answer["status"] == "ACTIVE"
    assert vm1.answer["key_name"] == "k"
    assert vm1.address.startswith("10.80.0.")
    (listed,) = newcomer.json("server", "list")
    assert (listed["ID"], listed["Name"], listed["Status"]) == (vm1.id, "vm1", "ACTIVE")
    assert (listed["Image"], listed["Flavor"]) == ("tiny", "m1.tiny")
    assert listed["Networks"] == {"private": [vm1.address]}
    shown = newcomer.json("server", "show", "vm1")
    assert shown["OS-EXT-STS:power_state"] == 1
    assert shown["image"].startswith("tiny (")


def test_ssh_by_the_key(newcomer: Newcomer, vm1: Guest) -> None:
    assert newcomer.told(vm1.address, "hostname") == "vm1.novalocal"
    assert f"inet {vm1.address}/24" in newcomer.told(vm1.address, "ip -4 addr show eth0")
    size = newcomer.told(vm1.address, "df -m / | tail -n 1 | awk '{print $2}'")
    assert int(size) > 900, "the root disk did not grow to the flavor's GiB"


def test_the_guest_is_told_by_the_metadata_service(newcomer: Newcomer, vm1: Guest) -> None:
    fetch = "wget -q -O - http://169.254.169.254"
    assert newcomer.told(vm1.address, f"{fetch}/latest/meta-data/local-ipv4") == vm1.address
    assert newcomer.told(vm1.address, f"{fetch}/2009-04-04/meta-data/instance-type") == "m1.tiny"
    document = json.loads(newcomer.told(vm1.address, f"{fetch}/openstack/latest/meta_data.json"))
    assert (document["uuid"], document["name"]) == (vm1.id, "vm1")
    assert document["public_keys"]["k"].startswith("ssh-")
    assert newcomer.told(vm1.address, f"{fetch}/latest/user-data") == USER_DATA.strip()


def test_user_data_has_run(newcomer: Newcomer, vm1: Guest) -> None:
    newcomer.console("vm1", "user-data ended with 0")
    assert newcomer.told(vm1.address, "cat /root/marker") == "by user-data"


def test_the_console_shows_boot_and_login(newcomer: Newcomer, vm1: Guest) -> None:
    log = newcomer.console("vm1", "Linux version", "told by ec2", "user-data speaks in vm1", "login:")
    last = newcomer.cloud.openstack("console", "log", "show", "--lines", "3", "vm1")
    assert log.endswith(last)
    assert len(last.splitlines()) == 3


def test_stop_and_start(newcomer: Newcomer, vm1: Guest) -> None:
    (domain,) = newcomer.guests()
    newcomer.cloud.openstack("server", "stop", "vm1")
    eventually("the guest to be off", lambda: newcomer.virsh("domstate", domain) == "shut off")
    eventually("SHUTOFF", lambda: newcomer.json("server", "show", "vm1")["status"] == "SHUTOFF")
    refused = newcomer.cloud.openstack("server", "pause", "vm1", check=False)
    assert "while it is in vm_state stopped" in refused
    newcomer.cloud.openstack("server", "start", "vm1")
    assert newcomer.told(vm1.address, "cat /root/marker") == "by user-data"
    assert newcomer.virsh("domstate", domain) == "running"
    assert newcomer.json("server", "show", "vm1")["status"] == "ACTIVE"


def test_pause_and_unpause(newcomer: Newcomer, vm1: Guest) -> None:
    before = newcomer.uptime(vm1.address)
    newcomer.cloud.openstack("server", "pause", "vm1")
    eventually("PAUSED", lambda: newcomer.json("server", "show", "vm1")["status"] == "PAUSED")
    assert newcomer.guests("--state-paused")
    assert newcomer.ssh(vm1.address, "true").returncode == 255
    newcomer.cloud.openstack("server", "unpause", "vm1")
    assert newcomer.uptime(vm1.address) > before
    assert newcomer.guests("--state-running")


def test_suspend_and_resume(newcomer: Newcomer, vm1: Guest) -> None:
    before = newcomer.uptime(vm1.address)
    newcomer.told(vm1.address, "echo in memory > /tmp/kept")
    newcomer.cloud.openstack("server", "suspend", "vm1")
    eventually("SUSPENDED", lambda: newcomer.json("server", "show", "vm1")["status"] == "SUSPENDED")
    assert newcomer.guests("--state-shutoff"), "the memory should be on disk and the guest off"
    newcomer.cloud.openstack("server", "resume", "vm1")
    assert newcomer.told(vm1.address, "cat /tmp/kept") == "in memory"
    assert newcomer.uptime(vm1.address) > before


@pytest.mark.parametrize("kind", ["--soft", "--hard"])
def test_reboot(newcomer: Newcomer, vm1: Guest, kind: str) -> None:
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = newcomer.told(vm1.address, boot)
    newcomer.cloud.openstack("server", "reboot", kind, "--wait", "vm1")
    eventually("another boot of the guest", lambda: newcomer.told(vm1.address, boot) != before)
    assert newcomer.told(vm1.address, "cat /root/marker") == "by user-data"
    assert newcomer.json("server", "show", "vm1")["status"] == "ACTIVE"


def test_a_disk_with_a_boot_loader_and_a_config_drive(newcomer: Newcomer, vm2: Guest) -> None:
    assert vm2.answer["config_drive"] in (True, "True")
    newcomer.console("vm2", "told by config-drive", "login:")
    assert newcomer.told(vm2.address, "hostname") == "vm2.novalocal"
    document = json.loads(newcomer.told(vm2.address, "cat /run/config/openstack/latest/meta_data.json"))
    assert (document["uuid"], document["name"]) == (vm2.id, "vm2")


def test_guests_reach_each_other(newcomer: Newcomer, vm1: Guest, vm2: Guest) -> None:
    assert "3 packets received" in newcomer.told(vm1.address, f"ping -c 3 -W 5 {vm2.address}")
    assert "3 packets received" in newcomer.told(vm2.address, f"ping -c 3 -W 5 {vm1.address}")


def test_a_guest_cannot_take_anothers_address(newcomer: Newcomer, vm1: Guest, vm2: Guest) -> None:
    """With vm1's or a free address added, vm2 reaches nobody from it, and vm1 keeps being found."""
    for address in (vm1.address, "10.80.0.200"):
        taken = (
            f"ip addr add {address}/32 dev eth0; ping -c 2 -W 2 -I {address} 10.80.0.1; "
            f"ip addr del {address}/32 dev eth0"
        )
        assert "0 packets received" in newcomer.told(vm2.address, taken)
    assert newcomer.told(vm1.address, "hostname") == "vm1.novalocal"


def test_instances_survive_the_cloud(newcomer: Newcomer, vm1: Guest, vm2: Guest) -> None:
    """Ctrl-C leaves nothing on the machine; the next start runs the same instances again."""
    cloud = newcomer.cloud
    newcomer.told(vm1.address, "echo before the end > /root/kept; sync")
    folders = [Path(found) for found in RUN_FOLDER.findall(f"{cloud.output()} {cloud.processes()}")]
    assert folders
    assert all(folder.exists() for folder in folders)
    assert cloud.stop() == 0
    assert cloud.processes() == {}
    assert cloud.run("ip", "-o", "link").count("\n") == 1, cloud.run("ip", "-o", "link")
    assert cloud.run("nft", "list", "ruleset") == ""
    assert "novamesh" not in cloud.run("cat", "/proc/self/mounts")
    assert not any(folder.exists() for folder in folders)
    assert "Instances are kept" in cloud.output()
    cloud.start()
    assert newcomer.told(vm1.address, "cat /root/kept") == "before the end"
    # sshd has the key from before, so it may answer before the guest asked for its name again.
    for vm in (vm1, vm2):
        name = f"{vm.name}.novalocal"
        eventually(f"{name} to know its name", lambda: newcomer.told(vm.address, "hostname") == name)  # noqa: B023
    listed = newcomer.json("server", "list")
    assert {(s["ID"], s["Status"]) for s in listed} == {(vm1.id, "ACTIVE"), (vm2.id, "ACTIVE")}
    assert sorted(a for s in listed for a in s["Networks"]["private"]) == sorted([vm1.address, vm2.address])


def test_delete_leaves_nothing(newcomer: Newcomer, vm1: Guest, vm2: Guest) -> None:
    cloud = newcomer.cloud
    folder = cloud.state / "instances" / vm1.id
    assert (folder / "disk").exists()
    assert len(newcomer.guests()) == 2
    cloud.openstack("server", "delete", "--wait", "vm1", "vm2")
    assert newcomer.json("server", "list") == []
    assert newcomer.guests() == []
    assert not folder.exists()
    assert "tap" not in cloud.run("ip", "-o", "link")
    assert vm1.address not in cloud.run("nft", "list", "ruleset")
    hosts = [path.read_text() for path in Path("/run/novamesh").rglob("*host*") if path.is_file()]
    assert not any(vm1.id in text for text in hosts)
    gone = cloud.openstack("server", "show", "vm1", check=False)
    assert "No Server found for vm1" in gone
    # The address can be had again, and the name.
    assert newcomer.boot("vm1")["status"] == "ACTIVE"

"""Rescue, rebuild, passwords, interrupts and counters on a real guest, by its own evidence; in this order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.clients.newcomer import Newcomer, eventually
from tests.cloud import GUEST, running_cloud

pytestmark = [
    pytest.mark.real,
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

# What QEMU's agent does of its protocol when a password is set: one JSON object a line, answered in turn.
# As it does, it reads on after an end: the port has one whenever nobody listens at the host's side of it.
AGENT = r"""
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name)" = org.qemu.guest_agent.0 ] && device=/dev/${port##*/}
done
exec 3<>$device
while :; do
    read -r line <&3 || { sleep 1; continue; }
    case $line in
        *guest-sync*)
            id=${line##*\"id\":}
            echo "{\"return\": ${id%%[!0-9]*}}" >&3 ;;
        *guest-set-user-password*)
            user=${line##*\"username\":\"}; echo ${user%%\"*} >/root/agent-user
            password=${line##*\"password\":\"}; echo ${password%%\"*} | base64 -d >/root/agent-password
            echo '{"return": {}}' >&3 ;;
        *) echo '{"error": {"class": "CommandNotFound", "desc": "unknown"}}' >&3 ;;
    esac
done
"""


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("guests")
    with running_cloud(folder / "state") as cloud, cloud.entered():
        user = Newcomer(cloud, folder / "k.pem")
        user.make_key("k")
        yield user


def connected(user: Newcomer, name: str) -> Any:
    """The SDK, logged in."""
    files = [str(user.cloud.state / "clouds.yaml")]
    return Connection(config=OpenStackConfig(config_files=files, load_envvars=False).get_one(cloud=name))


@pytest.fixture(scope="module")
def cloud(user: Newcomer) -> Any:
    """The SDK as the guest's user has it."""
    return connected(user, "novamesh")


def add_image(user: Newcomer, cloud: Any, name: str, **properties: str) -> str:
    """The tiny image once more, with more properties; its id."""
    tiny = cloud.image.find_image("tiny")
    properties = {"kernel_id": tiny.kernel_id, "ramdisk_id": tiny.ramdisk_id} | properties
    options = [word for pair in properties.items() for word in ("--property", "=".join(pair))]
    made = user.json(
        *("image", "create", "--file", str(GUEST / "root.ext4"), "--disk-format", "ami"),
        *("--container-format", "ami", *options, name),
    )
    return str(made["id"])


@pytest.fixture(scope="module")
def server(user: Newcomer, cloud: Any) -> str:
    """A server whose guest has a marker on its disk."""
    image = add_image(user, cloud, "with-agent", hw_qemu_guest_agent="yes")
    made = user.boot("g1", image=image)
    told(user, cloud, made["id"], "echo mine > /root/marker; sync")
    return str(made["id"])


def told(user: Newcomer, cloud: Any, server: str, command: str) -> str:
    """What a command in the guest prints."""
    address = cloud.compute.get_server(server).addresses["private"][0]["addr"]
    return user.told(address, command)


def status(cloud: Any, server: str, expected: str) -> None:
    """Wait until the server has the status and nothing is under way."""

    def there() -> bool:
        now = cloud.compute.get_server(server)
        return now.status == expected and now.task_state is None

    eventually(f"{server} to be {expected}", there)


def act(cloud: Any, server: str, body: dict[str, Any], version: str = "2.95") -> Any:
    """An action of a server, as the API has it."""
    return cloud.compute.post(f"/servers/{server}/action", json=body, microversion=version)


def test_diagnostics_carry_numbers(user: Newcomer, server: str) -> None:
    admin = connected(user, "novamesh-admin").compute
    found = admin.get(f"/servers/{server}/diagnostics", microversion="2.48").json()
    assert (found["state"], found["driver"], found["hypervisor_os"]) == ("running", "libvirt", "linux")
    assert (found["num_cpus"], found["num_nics"]) == (1, 1)
    assert found["cpu_details"][0]["time"] > 10**8
    assert found["disk_details"][0]["read_bytes"] > 10**6
    [card] = found["nic_details"]
    assert card["rx_octets"] > 1000
    assert card["tx_packets"] > 10
    assert found["memory_details"]["maximum"] > 0
    old = admin.get(f"/servers/{server}/diagnostics", microversion="2.1").json()
    assert old["cpu0_time"] >= found["cpu_details"][0]["time"]
    assert old["vda_read"] > 10**6
    assert any(name.endswith("_rx_packets") for name in old)
    assert old["memory"] // 1024 == found["memory_details"]["maximum"]


def test_a_password_reaches_the_agent(user: Newcomer, cloud: Any, server: str) -> None:
    refused = act(cloud, server, {"changePassword": {"adminPass": "early"}})
    assert refused.status_code == 409
    assert "agent does not answer" in refused.json()["conflictingRequest"]["message"]
    quoted = AGENT.replace("'", "'\\''")
    told(user, cloud, server, f"echo '{quoted}' >/root/agent; sh /root/agent >/dev/null 2>&1 </dev/null &")
    eventually(
        "the agent to answer",
        lambda: act(cloud, server, {"changePassword": {"adminPass": "Grüße 'so' \"so\""}}).status_code == 202,
    )
    assert told(user, cloud, server, "cat /root/agent-user /root/agent-password") == "root\nGrüße 'so' \"so\""
    assert "Grüße" not in user.cloud.output()


def test_an_interrupt_reaches_the_guest(user: Newcomer, cloud: Any, server: str) -> None:
    assert act(cloud, server, {"trigger_crash_dump": None}).status_code == 202
    user.console("g1", "NMI received")


def test_a_rescue_shows_the_old_disk_and_leaves_it(user: Newcomer, cloud: Any, server: str) -> None:
    assert act(cloud, server, {"rescue": None}).json()["adminPass"]
    status(cloud, server, "RESCUE")
    seen = told(user, cloud, server, "ls /root/marker; mount /dev/vdb /mnt && cat /mnt/root/marker")
    assert seen.endswith("mine")
    told(user, cloud, server, "echo mended > /mnt/root/mended; umount /mnt")
    assert act(cloud, server, {"unrescue": None}).status_code == 202
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "cat /root/marker /root/mended") == "mine\nmended"
    assert not list(Path(user.cloud.state).rglob("*.rescue"))


def test_a_stable_rescue_leaves_the_disk_in_its_place(user: Newcomer, cloud: Any, server: str) -> None:
    image = add_image(user, cloud, "rescuer", hw_rescue_bus="virtio")
    assert act(cloud, server, {"rescue": {"rescue_image_ref": image}}, "2.87").status_code == 200
    status(cloud, server, "RESCUE")
    assert told(user, cloud, server, "mount /dev/vda /mnt && cat /mnt/root/marker; umount /mnt") == "mine"
    assert "root=/dev/vdb" in told(user, cloud, server, "cat /proc/cmdline")
    assert act(cloud, server, {"unrescue": None}).status_code == 202
    status(cloud, server, "ACTIVE")


def test_a_rebuild_begins_anew(user: Newcomer, cloud: Any, server: str) -> None:
    before = cloud.compute.get_server(server)
    assert told(user, cloud, server, "cat /root/marker") == "mine"
    cloud.compute.rebuild_server(server, cloud.image.find_image("tiny").id, name="g2")
    status(cloud, server, "ACTIVE")
    after = cloud.compute.get_server(server)
    assert after.addresses == before.addresses
    assert told(user, cloud, server, "ls /root/marker /root/mended 2>/dev/null; hostname") == "g1.novalocal"
    # Off, it stays off, and is as new as before when it is started.
    told(user, cloud, server, "echo again > /root/marker; sync")
    cloud.compute.stop_server(server)
    status(cloud, server, "SHUTOFF")
    cloud.compute.rebuild_server(server, cloud.image.find_image("tiny").id)
    status(cloud, server, "SHUTOFF")
    cloud.compute.start_server(server)
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "ls /root") == ""

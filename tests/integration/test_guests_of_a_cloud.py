"""Real guests in every state, and a cloud that ends and starts again under them; one cloud, in this order."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.clients.newcomer import Newcomer, eventually
from tests.cloud import running_cloud

pytestmark = [
    pytest.mark.real,
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

NAMES = ("active", "paused", "suspended", "stopped")


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("guests")
    with running_cloud(folder / "state") as cloud, cloud.entered():
        user = Newcomer(cloud, folder / "k.pem")
        user.make_key("k")
        yield user


@pytest.fixture(scope="module")
def cloud(user: Newcomer) -> Any:
    """The SDK, logged in."""
    files = [str(user.cloud.state / "clouds.yaml")]
    region = OpenStackConfig(config_files=files, load_envvars=False).get_one(cloud="novamesh")
    return Connection(config=region)


@pytest.fixture(scope="module")
def addresses(user: Newcomer, cloud: Any) -> dict[str, str]:
    """A guest of each name, logged into once, with a marker on its disk and one in its memory."""
    for name in NAMES:
        create(cloud, name)
    return {name: mark(user, cloud, name) for name in NAMES}


def create(cloud: Any, name: str) -> Any:
    """Ask for a server."""
    return cloud.compute.create_server(
        name=name,
        image_id=cloud.image.find_image("tiny").id,
        flavor_id=cloud.compute.find_flavor("m1.tiny").id,
        key_name="k",
        networks="auto",
    )


def get(cloud: Any, name: str) -> Any:
    return cloud.compute.find_server(name, details=True)


def status(cloud: Any, name: str, expected: str) -> None:
    """Wait until the server has the status."""
    eventually(f"{name} to be {expected}", lambda: get(cloud, name).status == expected)


def mark(user: Newcomer, cloud: Any, name: str) -> str:
    """Leave markers in the guest; gives its address."""
    status(cloud, name, "ACTIVE")
    address = str(get(cloud, name).addresses["private"][0]["addr"])
    user.told(address, f"echo {name} > /tmp/memory; echo {name} > /root/disk; sync")
    return address


def test_four_guests_at_once(user: Newcomer, addresses: dict[str, str]) -> None:
    with ThreadPoolExecutor() as pool:
        names = pool.map(lambda address: user.told(address, "hostname"), addresses.values())
    assert list(names) == [f"{name}.novalocal" for name in NAMES]
    assert len(set(addresses.values())) == 4


def test_states_across_a_restart(user: Newcomer, cloud: Any, addresses: dict[str, str]) -> None:
    """Memory on disk is kept, memory in a process is not: a paused guest is off afterwards, and says so."""
    cloud.compute.pause_server(get(cloud, "paused"))
    cloud.compute.suspend_server(get(cloud, "suspended"))
    cloud.compute.stop_server(get(cloud, "stopped"))
    for name, expected in (("paused", "PAUSED"), ("suspended", "SUSPENDED"), ("stopped", "SHUTOFF")):
        status(cloud, name, expected)
    assert user.cloud.stop() == 0
    assert user.cloud.processes() == {}
    user.cloud.start()
    for name, expected in (
        ("active", "ACTIVE"),
        ("paused", "SHUTOFF"),
        ("suspended", "SUSPENDED"),
        ("stopped", "SHUTOFF"),
    ):
        status(cloud, name, expected)
    assert len(user.guests("--state-running")) == 1
    cloud.compute.resume_server(get(cloud, "suspended"))
    cloud.compute.start_server(get(cloud, "stopped"))
    cloud.compute.start_server(get(cloud, "paused"))
    assert user.told(addresses["suspended"], "cat /tmp/memory") == "suspended"
    for name in ("active", "paused", "stopped"):
        assert user.told(addresses[name], "cat /root/disk; cat /tmp/memory 2>/dev/null") == name


def test_a_guest_that_ends_itself(user: Newcomer, cloud: Any, addresses: dict[str, str]) -> None:
    user.ssh(addresses["stopped"], "poweroff")
    status(cloud, "stopped", "SHUTOFF")
    assert get(cloud, "stopped").power_state == 4
    cloud.compute.start_server(get(cloud, "stopped"))
    assert user.told(addresses["stopped"], "cat /root/disk") == "stopped"


def test_a_guest_that_reboots_itself(user: Newcomer, cloud: Any, addresses: dict[str, str]) -> None:
    boot = "cat /proc/sys/kernel/random/boot_id"
    before = user.told(addresses["active"], boot)
    user.ssh(addresses["active"], "reboot")
    eventually("another boot", lambda: user.told(addresses["active"], boot) != before)
    assert get(cloud, "active").status == "ACTIVE"


def test_a_guest_that_somebody_ends_behind_the_clouds_back(
    user: Newcomer, cloud: Any, addresses: dict[str, str]
) -> None:
    (domain,) = (name for name in user.guests() if get(cloud, "paused").id in user.virsh("dumpxml", name))
    user.virsh("destroy", domain)
    status(cloud, "paused", "SHUTOFF")
    cloud.compute.reboot_server(get(cloud, "paused"), "HARD")
    assert user.told(addresses["paused"], "cat /root/disk") == "paused"
    assert get(cloud, "paused").status == "ACTIVE"


def test_delete_in_every_state(user: Newcomer, cloud: Any, addresses: dict[str, str]) -> None:
    """Also a guest that has just been asked for, and one whose definition libvirt lost."""
    cloud.compute.pause_server(get(cloud, "paused"))
    cloud.compute.suspend_server(get(cloud, "suspended"))
    cloud.compute.stop_server(get(cloud, "stopped"))
    for name, expected in (("paused", "PAUSED"), ("suspended", "SUSPENDED"), ("stopped", "SHUTOFF")):
        status(cloud, name, expected)
    (domain,) = (name for name in user.guests() if get(cloud, "stopped").id in user.virsh("dumpxml", name))
    user.virsh("undefine", domain)
    create(cloud, "building")
    servers = [get(cloud, name) for name in (*NAMES, "building")]
    for server in servers:
        cloud.compute.delete_server(server)
    for server in servers:
        cloud.compute.wait_for_delete(server)
    eventually("no guest", lambda: user.guests() == [])
    assert [path.name for path in (user.cloud.state / "instances").iterdir() if path.name != "_base"] == []
    assert "tap" not in user.cloud.run("ip", "-o", "link")
    rules = user.cloud.run("nft", "list", "table", "bridge", "novamesh")
    # The name of the last tap stays among those to be dropped, until the next change.
    assert "fa:16:3e" not in rules, rules
    assert "10.80.0." not in rules, rules
    used = cloud.compute.get_limits().absolute
    assert (used.instances_used, used.total_cores_used, used.total_ram_used) == (0, 0, 0)

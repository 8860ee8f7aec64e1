"""Images of real guests, with the guests' own word for it; one cloud, in this order."""

from collections.abc import Iterator
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection

from tests.clients.newcomer import Newcomer, eventually
from tests.cloud import running_cloud
from tests.integration.test_guests_of_a_cloud import create, get, status

pytestmark = [
    pytest.mark.real,
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

BOOT = "cat /proc/sys/kernel/random/boot_id"
# Counts in the guest's memory, and stops with it.
COUNTER = "(while sleep 1; do echo tick >> /tmp/ticks; done) >/dev/null 2>&1 &"
TICKS = "wc -l < /tmp/ticks"


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("snapshots")
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


def address_of(cloud: Any, name: str) -> str:
    """The server's address, once it runs."""
    status(cloud, name, "ACTIVE")
    return str(get(cloud, name).addresses["private"][0]["addr"])


def test_a_snapshot_of_a_guest_that_runs_on(user: Newcomer, cloud: Any) -> None:
    create(cloud, "first")
    address = address_of(cloud, "first")
    boot = user.told(address, BOOT)
    user.told(address, f"echo written > /root/marker; sync; {COUNTER} echo")
    image = cloud.compute.create_server_image(get(cloud, "first"), "picture", wait=True)
    user.told(address, "echo later > /root/later; sync")
    # The same boot, and what counted in its memory counts on.
    assert user.told(address, BOOT) == boot
    before = int(user.told(address, TICKS))
    eventually("the counter goes on", lambda: int(user.told(address, TICKS)) > before)
    assert get(cloud, "first").status == "ACTIVE"
    found = cloud.image.get_image(image.id)
    assert (found.status, found.disk_format) == ("active", "qcow2")
    assert found.instance_uuid == get(cloud, "first").id
    folder = user.cloud.state / "instances" / get(cloud, "first").id
    assert not list(folder.glob("snapshot*"))


def test_a_second_guest_of_the_snapshot(user: Newcomer, cloud: Any) -> None:
    cloud.compute.create_server(
        name="second",
        image_id=cloud.image.find_image("picture").id,
        flavor_id=cloud.compute.find_flavor("m1.tiny").id,
        key_name="k",
        networks="auto",
    )
    address = address_of(cloud, "second")
    # What was there at the moment is in it, what came later isn't.
    assert user.told(address, "cat /root/marker; ls /root/later 2>/dev/null || true") == "written"
    # Its sshd has the first one's keys, and answers before the guest has asked who it is.
    eventually("its own name", lambda: user.told(address, "hostname") == "second.novalocal")
    cloud.compute.delete_server(get(cloud, "second"))


def test_a_snapshot_of_a_guest_that_is_off(user: Newcomer, cloud: Any) -> None:
    cloud.compute.stop_server(get(cloud, "first"))
    status(cloud, "first", "SHUTOFF")
    image = cloud.compute.create_server_image(get(cloud, "first"), "still", wait=True)
    assert cloud.image.get_image(image.id).status == "active"
    status(cloud, "first", "SHUTOFF")
    cloud.compute.start_server(get(cloud, "first"))
    assert user.told(address_of(cloud, "first"), "cat /root/later") == "later"


def test_shelved_offloaded_and_back(user: Newcomer, cloud: Any) -> None:
    """The default cloud offloads at once. The guest's disk and address come back; its memory does not."""
    address = address_of(cloud, "first")
    boot = user.told(address, BOOT)
    server = get(cloud, "first")
    domains = len(user.guests())
    cloud.compute.shelve_server(server)
    status(cloud, "first", "SHELVED_OFFLOADED")
    assert len(user.guests()) == domains - 1
    assert not (user.cloud.state / "instances" / server.id).exists()
    assert cloud.image.find_image("first-shelved").status == "active"
    # Somebody else gets another address meanwhile.
    create(cloud, "third")
    assert address_of(cloud, "third") != address
    cloud.compute.unshelve_server(server)
    assert address_of(cloud, "first") == address
    assert user.told(address, "cat /root/marker /root/later") == "written\nlater"
    assert user.told(address, BOOT) != boot
    assert cloud.image.find_image("first-shelved") is None
    # It is a guest like others.
    cloud.compute.reboot_server(server, "HARD")
    assert user.told(address, "cat /root/marker") == "written"


def test_backups_rotate(user: Newcomer, cloud: Any) -> None:
    server = get(cloud, "first")
    for number in range(3):
        cloud.compute.backup_server(server, f"backup{number}", "daily", 2)
        eventually("the backup is done", lambda: get(cloud, "first").task_state is None)
    names = {image.name for image in cloud.image.images(visibility="private")}
    assert names >= {"backup1", "backup2", "picture", "still"}
    assert "backup0" not in names


def test_nothing_is_left(user: Newcomer, cloud: Any) -> None:
    cloud.compute.shelve_server(get(cloud, "third"))
    status(cloud, "third", "SHELVED_OFFLOADED")
    servers = [get(cloud, name) for name in ("first", "third")]
    for server in servers:
        cloud.compute.delete_server(server)
    for server in servers:
        cloud.compute.wait_for_delete(server)
    assert cloud.image.find_image("third-shelved") is None
    eventually("no guest", lambda: user.guests() == [])

"""Real guests that get another size: they see it themselves, and what was on their disks is still there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.exceptions import BadRequestException, ConflictException

from tests.clients.newcomer import Newcomer, eventually
from tests.cloud import running_cloud

pytestmark = [
    pytest.mark.real,
    pytest.mark.client,
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]

MIB, GIB = 1024**2, 1024**3
# What a guest has: virtual CPUs, MiB of memory that Linux sees, bytes of its disks.
LOOK = (
    "nproc; awk '/^MemTotal/ {print $2}' /proc/meminfo; cat /sys/block/vda/size; "
    "df -k / | awk 'END {print $2}'; cat /sys/block/vdb/size 2>/dev/null || echo 0"
)


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    folder = tmp_path_factory.mktemp("resized")
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
    """The SDK as a user has it."""
    return connected(user, "novamesh")


@pytest.fixture(scope="module")
def flavors(user: Newcomer) -> dict[str, str]:
    """Two sizes by name."""
    admin = connected(user, "novamesh-admin").compute
    made = {
        "small": admin.create_flavor(name="small", vcpus=1, ram=192, disk=1, is_public=True),
        "large": admin.create_flavor(name="large", vcpus=2, ram=384, disk=2, ephemeral=1, is_public=True),
    }
    return {name: str(flavor.id) for name, flavor in made.items()}


@pytest.fixture
def server(user: Newcomer, cloud: Any, flavors: dict[str, str]) -> Iterator[str]:
    """A small server with a marker on its disk."""
    made = cloud.compute.create_server(
        name="g",
        image_id=cloud.image.find_image("tiny").id,
        flavor_id=flavors["small"],
        key_name="k",
        networks="auto",
    )
    status(cloud, made.id, "ACTIVE")
    told(user, cloud, made.id, "echo mine > /root/marker; sync")
    yield str(made.id)
    cloud.compute.delete_server(made.id)
    cloud.compute.wait_for_delete(made)
    eventually("no guest", lambda: user.guests() == [])
    assert [path.name for path in folders(user)] == []


def folders(user: Newcomer) -> list[Path]:
    """Folders of guests, those that are kept aside included."""
    return sorted(path for path in (user.cloud.state / "instances").iterdir() if path.name != "_base")


def status(cloud: Any, server: str, expected: str) -> None:
    """Wait until the server has the status and nothing is under way."""

    def there() -> bool:
        now = cloud.compute.get_server(server)
        return now.status == expected and now.task_state is None

    eventually(f"{server} to be {expected}", there)


def told(user: Newcomer, cloud: Any, server: str, command: str) -> str:
    """What a command in the guest prints."""
    address = cloud.compute.get_server(server).addresses["private"][0]["addr"]
    return user.told(address, command)


def look(user: Newcomer, cloud: Any, server: str) -> tuple[int, int, int, int, int]:
    """VCPUs, MiB, bytes of the root disk, its file system and the ephemeral disk, as the guest has them."""
    cpus, memory, disk, system, ephemeral = map(int, told(user, cloud, server, LOOK).split())
    return cpus, memory // 1024, disk * 512, system * 1024, ephemeral * 512


def check_small(user: Newcomer, cloud: Any, server: str) -> None:
    """The guest is as it was made."""
    cpus, memory, disk, system, ephemeral = look(user, cloud, server)
    assert cpus == 1
    assert 128 < memory <= 192
    assert disk == GIB
    assert GIB // 2 < system < GIB
    assert ephemeral == 0


def test_confirmed(user: Newcomer, cloud: Any, flavors: dict[str, str], server: str) -> None:
    check_small(user, cloud, server)
    before = cloud.compute.get_server(server).addresses
    cloud.compute.resize_server(server, flavors["large"])
    status(cloud, server, "VERIFY_RESIZE")
    assert [path.name for path in folders(user)] == [server, f"{server}_resize"]
    assert told(user, cloud, server, "cat /root/marker") == "mine"
    eventually("the file system to have grown", lambda: look(user, cloud, server)[3] > GIB + GIB // 2)
    cpus, memory, disk, _, ephemeral = look(user, cloud, server)
    assert cpus == 2
    assert 256 < memory <= 384
    assert (disk, ephemeral) == (2 * GIB, GIB)
    assert cloud.compute.get_server(server).addresses == before
    cloud.compute.confirm_server_resize(server)
    status(cloud, server, "ACTIVE")
    assert [path.name for path in folders(user)] == [server]
    # It is defined in its new size for good.
    cloud.compute.reboot_server(server, "HARD")
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "cat /root/marker; nproc").split() == ["mine", "2"]


def test_reverted(user: Newcomer, cloud: Any, flavors: dict[str, str], server: str) -> None:
    cloud.compute.resize_server(server, flavors["large"])
    status(cloud, server, "VERIFY_RESIZE")
    assert told(user, cloud, server, "cat /root/marker; echo new > /root/later; sync; nproc").split() == [
        "mine",
        "2",
    ]
    cloud.compute.revert_server_resize(server)
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "cat /root/marker; ls /root/later 2>/dev/null") == "mine"
    check_small(user, cloud, server)
    assert [path.name for path in folders(user)] == [server]


def test_stopped_stays_stopped(user: Newcomer, cloud: Any, flavors: dict[str, str], server: str) -> None:
    cloud.compute.stop_server(server)
    status(cloud, server, "SHUTOFF")
    cloud.compute.resize_server(server, flavors["large"])
    status(cloud, server, "VERIFY_RESIZE")
    assert user.guests("--state-running") == []
    cloud.compute.confirm_server_resize(server)
    status(cloud, server, "SHUTOFF")
    cloud.compute.start_server(server)
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "cat /root/marker; nproc").split() == ["mine", "2"]


def test_killed_while_it_resizes(user: Newcomer, cloud: Any, flavors: dict[str, str], server: str) -> None:
    """The whole cloud dies on the way, guests run on as far as they do; it goes on where it was."""
    cloud.compute.resize_server(server, flavors["large"])
    user.cloud.kill()
    user.cloud.start()
    status(cloud, server, "VERIFY_RESIZE")
    assert told(user, cloud, server, "cat /root/marker; nproc").split() == ["mine", "2"]
    cloud.compute.revert_server_resize(server)
    user.cloud.kill()
    user.cloud.start()
    status(cloud, server, "ACTIVE")
    assert told(user, cloud, server, "cat /root/marker; nproc").split() == ["mine", "1"]


def test_refused(user: Newcomer, cloud: Any, flavors: dict[str, str], server: str) -> None:
    """One host of libvirt's: there is nowhere to migrate to. Nothing of this disturbs the guest."""
    boot = told(user, cloud, server, "cat /proc/sys/kernel/random/boot_id")
    with pytest.raises(BadRequestException, match="No valid host was found"):
        connected(user, "novamesh-admin").compute.migrate_server(server)
    with pytest.raises(BadRequestException, match="When resizing, instances must change flavor!"):
        cloud.compute.resize_server(server, flavors["small"])
    with pytest.raises(ConflictException, match="Cannot 'confirmResize'"):
        cloud.compute.confirm_server_resize(server)
    assert told(user, cloud, server, "cat /proc/sys/kernel/random/boot_id") == boot

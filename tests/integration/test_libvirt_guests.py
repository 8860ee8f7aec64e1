"""libvirt's guests with everything they can have, the libvirtd of one's own, and a full disk."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.testsuite import MemoryImages
from drivers.virt import Boot, GuestState
from drivers.virt.image_cache import ImageCache
from drivers.virt.libvirt import LibvirtOptions, PrivateLibvirtd, SpiceOptions
from drivers.virt.libvirt.driver import LibvirtDriver
from drivers.virt.qemu_img import QemuImg
from novamesh.failures import DriverFailureError, ResourceExhaustedError, UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN
from tests.conformance.libvirt_harness import BRIDGE, MIB, LibvirtHarness, own_libvirtd
from tests.netns import need

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    with own_libvirtd(tmp_path_factory.mktemp("libvirtd")) as daemon:
        yield daemon


@pytest.fixture
def harness(libvirtd: PrivateLibvirtd, tmp_path: Path) -> Iterator[LibvirtHarness]:
    harness = LibvirtHarness(libvirtd, tmp_path)
    yield harness
    assert harness.end_all() == []


def taps() -> str:
    """Devices on the bridge, as `ip` prints them."""
    return subprocess.run(
        ["ip", "-o", "link", "show", "master", BRIDGE], capture_output=True, text=True, check=True
    ).stdout


async def test_guest_finds_its_disks_and_config_drive(harness: LibvirtHarness) -> None:
    harness.options = replace(harness.options, spice=SpiceOptions(enabled=True))
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    instance.flavor.ephemeral_gb = 2
    instance.flavor.swap_mb = 64
    instance.config_drive = True
    await driver.spawn(instance, Boot(config_drive={"openstack/latest/meta_data.json": b'{"uuid": "u-1"}'}))
    # While libvirtd starts the guest the kernel finds the disks in no order, hence after the whole boot.
    await harness.ready(driver, instance)
    printed = (await driver.console_output(instance.id)).decode(errors="replace")
    assert f"GUEST-DISK vda {1024 * MIB // 512}" in printed
    assert f"GUEST-DISK vdb {2048 * MIB // 512}" in printed
    assert f"GUEST-DISK vdc {64 * MIB // 512}" in printed
    assert "GUEST-EPHEMERAL /dev/vdb" in printed
    assert "GUEST-SWAP" in printed
    assert 'GUEST-CONFIG {"uuid": "u-1"}' in printed
    assert "GUEST-CMDLINE root=/dev/vda console=tty0 console=ttyS0" in printed
    vnc = await driver.console_endpoint(instance.id, "vnc")
    with closing(socket.create_connection((vnc.host, vnc.port), timeout=10)) as connection:
        assert connection.recv(4) == b"RFB "
    spice = await driver.console_endpoint(instance.id, "spice")
    assert spice.port not in (0, vnc.port)
    # The tap device is where the network role expects it.
    assert instance.interfaces[0].device in taps()
    await driver.destroy(instance)
    assert instance.interfaces[0].device not in taps()
    await driver.stop()


async def test_folder_that_only_root_reaches(harness: LibvirtHarness, tmp_path: Path) -> None:
    """A checkout in root's home: QEMU is given root's identity instead of the folder its own."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    harness.options = replace(harness.options, instances_path=str(closed / "instances"))
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    await driver.spawn(instance, Boot())
    assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
    await driver.destroy(instance)
    await driver.stop()


async def test_another_clouds_guests_are_not_ours(harness: LibvirtHarness, tmp_path: Path) -> None:
    """Two clouds on one libvirtd, with folders of their own, don't see each other's guests."""
    ours = LibvirtDriver(harness.options, harness.images)
    theirs = LibvirtDriver(replace(harness.options, instances_path=str(tmp_path / "theirs")), harness.images)
    await ours.start()
    await theirs.start()
    instance = harness.instance()
    await theirs.spawn(instance, Boot())
    assert await ours.instances() == []
    assert len(await theirs.instances()) == 1
    await theirs.destroy(instance)
    await ours.stop()
    await theirs.stop()


async def test_missing_bridge(harness: LibvirtHarness) -> None:
    """libvirt's own words reach the caller, and nothing is left after the destroy."""
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    instance.interfaces[0].network.bridge = "nmnosuch0"
    with pytest.raises(DriverFailureError, match="nmnosuch0"):
        await driver.spawn(instance, Boot())
    await driver.destroy(instance)
    assert await harness.leftovers(instance.id) == []
    await driver.stop()


async def test_kvm_is_never_replaced_in_silence(harness: LibvirtHarness) -> None:
    """Where KVM can't run a guest, asking for it fails at start and says what to do."""
    driver = LibvirtDriver(replace(harness.options, virt_type="kvm"), harness.images)
    try:
        await driver.start()
    except UnavailableError as failure:
        assert "virt_type = qemu" in failure.message
    else:
        assert (await driver.inventory()).supported_instances
        await driver.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    need("mount")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(tmp_path)], check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


async def test_full_disk(small_disk: Path) -> None:
    """An image that doesn't fit is given up, what had come of it removed, and the next small one fits."""
    images = MemoryImages()
    cache = ImageCache(small_disk / "_base", images, QemuImg("test"))
    await cache.start()
    large = images.add(os.urandom(4 * MIB))
    with pytest.raises(ResourceExhaustedError):
        await cache.fetch(large)
    # And one whose record doesn't say how large it is.
    images.forget_size(large)
    with pytest.raises(ResourceExhaustedError):
        await cache.fetch(large)
    assert os.listdir(small_disk / "_base") == []
    await cache.fetch(images.add(os.urandom(MIB)))


async def test_own_libvirtd_is_taken_over_and_leaves_nothing(tmp_path: Path) -> None:
    need("libvirtd", "virtlogd", "qemu-system-x86_64")
    daemon = PrivateLibvirtd(tmp_path / "state")
    uri = await daemon.start()
    pid = (daemon.run_dir / "libvirtd.pid").read_text()
    assert await PrivateLibvirtd(tmp_path / "state").start() == uri
    assert (daemon.run_dir / "libvirtd.pid").read_text() == pid
    await daemon.stop()
    assert not daemon.run_dir.exists()
    with pytest.raises(UnavailableError, match="doesn't answer"):
        await LibvirtDriver(LibvirtOptions(connection_uri=uri, virt_type="qemu"), MemoryImages()).start()
    await daemon.stop()


async def test_stop_ends_guests_and_start_finds_them(
    harness: LibvirtHarness, libvirtd: PrivateLibvirtd
) -> None:
    """What `novamesh up` does at Ctrl-C and at its next start."""
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    await driver.spawn(instance, Boot())
    await driver.stop()
    await libvirtd.stop()
    assert instance.interfaces[0].device not in taps()
    await libvirtd.start()
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    assert await driver.instances() == [GuestState(instance.id, POWER_STATE_SHUTDOWN)]
    await driver.power_on(instance)
    assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
    await driver.destroy(instance)
    await driver.stop()

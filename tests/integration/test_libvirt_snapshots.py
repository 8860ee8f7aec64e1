"""What is in the images that libvirt takes of real guests, and what is left when taking one goes wrong."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import libvirt
import pytest

from drivers.testsuite import wait_for
from drivers.testsuite.snapshots import read, take
from drivers.virt import Boot
from drivers.virt.libvirt import PrivateLibvirtd
from drivers.virt.libvirt.driver import LibvirtDriver
from drivers.virt.libvirt.snapshots import job_of
from novamesh.failures import NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, Instance
from tests.conformance.libvirt_harness import MIB, LibvirtHarness, own_libvirtd

pytestmark = pytest.mark.real

# Enough for a copy to be met half way.
LARGE = 400 * MIB


@pytest.fixture(scope="module")
def libvirtd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateLibvirtd]:
    with own_libvirtd(tmp_path_factory.mktemp("libvirtd")) as daemon:
        yield daemon


@pytest.fixture
def harness(libvirtd: PrivateLibvirtd, tmp_path: Path) -> Iterator[LibvirtHarness]:
    harness = LibvirtHarness(libvirtd, tmp_path)
    yield harness
    assert harness.end_all() == []


async def spawned(harness: LibvirtHarness, content: bytes) -> tuple[LibvirtDriver, Instance]:
    """A guest whose root disk begins with `content`, and its driver."""
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    instance.image_id = harness.images.add(content, "raw")
    await driver.spawn(instance, Boot())
    return driver, instance


def jobs(harness: LibvirtHarness, instance: Instance) -> dict[str, Any]:
    """What libvirt says of the guest's job."""
    connection = libvirt.open(harness.daemon.uri)
    try:
        return job_of(connection.lookupByUUIDString(instance.id))
    finally:
        connection.close()


def files(harness: LibvirtHarness, instance: Instance) -> set[str]:
    """What lies in the guest's folder of its snapshots."""
    folder = Path(harness.options.instances_path) / instance.id
    return {path.name for path in folder.glob("snapshot*")}


@pytest.mark.parametrize("wanted", ["", "raw"])
async def test_the_disk_is_in_it(harness: LibvirtHarness, tmp_path: Path, wanted: Any) -> None:
    harness.options = replace(harness.options, snapshot_image_format=wanted)
    content = os.urandom(8 * MIB)
    driver, instance = await spawned(harness, content)
    for number in range(2):
        taken, data = await take(driver, instance)
        assert taken.disk_format == (wanted or "qcow2")
        source, flat = tmp_path / "taken", tmp_path / "flat"
        source.write_bytes(data)
        command = ["qemu-img", "convert", "-f", taken.disk_format, "-O", "raw", str(source), str(flat)]
        await asyncio.to_thread(subprocess.run, command, check=True)
        with flat.open("rb") as disk:
            assert disk.read(len(content)) == content
            assert disk.read(MIB) == bytes(MIB)
        # Once while it runs, once of its disk alone.
        if number == 0:
            await driver.power_off(instance)
    assert files(harness, instance) == set()
    await driver.destroy(instance)
    await driver.stop()


async def test_a_copy_that_is_stopped_half_way(harness: LibvirtHarness) -> None:
    driver, instance = await spawned(harness, os.urandom(LARGE))
    taking = asyncio.create_task(driver.take_snapshot(instance, "one"))

    async def under_way() -> bool:
        found = await asyncio.to_thread(jobs, harness, instance)
        return bool(found["type"]) and 0 < found["disk_processed"] < found["disk_total"]

    await wait_for(under_way, "the backup is under way")
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await taking
    assert jobs(harness, instance)["type"] == libvirt.VIR_DOMAIN_JOB_NONE
    assert files(harness, instance) == set()
    assert await driver.power_state(instance.id) == POWER_STATE_RUNNING
    await driver.destroy(instance)
    await driver.stop()


async def test_a_copy_that_another_process_left(harness: LibvirtHarness) -> None:
    """As after kill -9: QEMU copies on, and whoever comes next begins anew."""
    driver, instance = await spawned(harness, os.urandom(LARGE))
    part = Path(harness.options.instances_path) / instance.id / "snapshot.old.part"
    backup = f"""<domainbackup><disks><disk name="vda" type="file" backup="yes">
        <driver type="qcow2"/><target file="{part}"/></disk></disks></domainbackup>"""
    connection = libvirt.open(harness.daemon.uri)
    connection.lookupByUUIDString(instance.id).backupBegin(backup, None)
    connection.close()
    await driver.take_snapshot(instance, "new")
    assert files(harness, instance) == {"snapshot.new"}
    assert len(await read(driver, instance, "new")) > LARGE
    await driver.destroy(instance)
    await driver.stop()


async def test_a_guest_that_is_ended_half_way(harness: LibvirtHarness) -> None:
    """Its disk lies still then, and is taken all the same."""
    driver, instance = await spawned(harness, os.urandom(LARGE))
    taking = asyncio.create_task(driver.take_snapshot(instance, "one"))

    async def under_way() -> bool:
        return bool((await asyncio.to_thread(jobs, harness, instance))["type"])

    await wait_for(under_way, "the backup is under way")
    await harness.end_guest(instance.id)
    assert (await taking).size > LARGE
    await driver.destroy(instance)
    await driver.stop()


async def test_an_image_that_must_be_quiesced(harness: LibvirtHarness) -> None:
    """Nobody in this guest listens for the agent's calls."""
    driver, instance = await spawned(harness, bytes(MIB))
    for properties in (("os_require_quiesce",), ("os_require_quiesce", "hw_qemu_guest_agent")):
        for name in properties:
            instance.system_metadata[f"image_{name}"] = "yes"
        with pytest.raises(NotSupportedError, match="can't be quiesced"):
            await driver.take_snapshot(instance, "one")
    # Where it need not be, it is taken without.
    del instance.system_metadata["image_os_require_quiesce"]
    await driver.take_snapshot(instance, "one")
    await driver.destroy(instance)
    await driver.stop()

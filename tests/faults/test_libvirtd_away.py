"""libvirtd that dies and comes back under a driver with a running guest."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.testsuite import wait_for
from drivers.virt import Boot, GuestState, PowerChange
from drivers.virt.libvirt import PrivateLibvirtd
from drivers.virt.libvirt.driver import LibvirtDriver
from novamesh.failures import UnavailableError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING
from tests.conformance.libvirt_harness import LibvirtHarness, own_libvirtd

pytestmark = [pytest.mark.real, pytest.mark.fault]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[PrivateLibvirtd]:
    with own_libvirtd(tmp_path / "state") as daemon:
        yield daemon


async def test_libvirtd_dies_and_comes_back(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    harness = LibvirtHarness(daemon, tmp_path)
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    await driver.spawn(instance, Boot())
    await harness.ready(driver, instance)
    changes: list[PowerChange] = []
    driver.watch(changes.append)

    os.kill(int((daemon.run_dir / "libvirtd.pid").read_text()), signal.SIGKILL)

    async def away() -> bool:
        try:
            await driver.instances()
        except UnavailableError as failure:
            assert "libvirt" in failure.message
            return True
        return False

    await wait_for(away, "libvirtd is away")
    for call in (driver.power_state(instance.id), driver.power_off(instance), driver.inventory()):
        with pytest.raises(UnavailableError):
            await call
    # The log is a file, and can be read all the same.
    assert b"GUEST-READY" in await driver.console_output(instance.id)

    await daemon.start()

    async def told() -> bool:
        return any(change.instance_id == "" for change in changes)

    await wait_for(told, "the driver has found libvirtd again and says so")
    assert await driver.instances() == [GuestState(instance.id, POWER_STATE_RUNNING)]
    # Events come again, too.
    changes.clear()
    await driver.pause(instance)

    async def noticed() -> bool:
        return bool(changes)

    await wait_for(noticed, "events come again")
    await driver.destroy(instance)
    assert await harness.leftovers(instance.id) == []
    await driver.stop()


async def test_libvirtd_dies_while_a_guest_shuts_down(daemon: PrivateLibvirtd, tmp_path: Path) -> None:
    """Who waits for a guest to stop learns that libvirtd is away; the same call ends the guest later."""
    harness = LibvirtHarness(daemon, tmp_path)
    driver = LibvirtDriver(harness.options, harness.images)
    await driver.start()
    instance = harness.instance()
    await driver.spawn(instance, Boot())
    # Its kernel isn't up yet, so it doesn't hear the button.
    power_off = asyncio.create_task(driver.power_off(instance, timeout=60))
    await asyncio.sleep(0.2)
    os.kill(int((daemon.run_dir / "libvirtd.pid").read_text()), signal.SIGKILL)
    with pytest.raises(UnavailableError):
        await power_off
    await daemon.start()
    await driver.power_off(instance)
    await driver.destroy(instance)
    await driver.stop()

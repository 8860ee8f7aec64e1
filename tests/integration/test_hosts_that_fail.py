"""Conductor, scheduler and compute hosts together, when a host can't do what it is asked."""

import asyncio
from pathlib import Path

from drivers.virt.fake.options import FakeOptions
from novamesh.failures import DriverFailureError, UnavailableError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_SHUTDOWN,
    VM_STATE_ACTIVE,
    VM_STATE_ERROR,
    VM_STATE_STOPPED,
)
from tests.placement_cloud import PlacementCloud, placement_cloud

ROOMY = FakeOptions(vcpus=8, memory_mb=8192, disk_gb=100)
BETTER = FakeOptions(vcpus=8, memory_mb=16384, disk_gb=100)


async def usable(cloud: PlacementCloud, name: str, wanted: bool) -> None:
    """Return when the schedulers' picture says so of a host."""
    async with asyncio.timeout(10):
        while True:
            tables = [scheduler.hosts for scheduler in cloud.schedulers]
            if all(bool(t.columns.usable[t.names.index(name)]) is wanted for t in tables):
                return
            await asyncio.sleep(0.01)


async def test_a_host_whose_hypervisor_is_away_is_passed_over_until_it_is_back(tmp_path: Path) -> None:
    async with placement_cloud(tmp_path, 1, {"host1": ROOMY}) as cloud:
        flavor = await cloud.flavor(1)
        away = UnavailableError("libvirt", "Connection to libvirt lost")
        cloud.drivers["host1"].hypervisor.fail("inventory", away)
        await cloud.computes["host1"].tracker.report()
        await usable(cloud, "host1", False)
        [host] = await cloud.hosts()
        assert (host.enabled, host.disabled_reason) == (False, "AUTO: Connection to libvirt lost")
        await cloud.create(flavor)
        [refused] = await cloud.settled()
        assert refused.vm_state == VM_STATE_ERROR
        assert "ComputeFilter left 0 of 1" in refused.fault.message

        await cloud.computes["host1"].tracker.report()
        await usable(cloud, "host1", True)
        [host] = await cloud.hosts()
        assert (host.enabled, host.disabled_reason) == (True, "")
        [second] = await cloud.create(flavor)
        placed = {one.id: one for one in await cloud.settled()}[second]
        assert placed.vm_state == VM_STATE_ACTIVE


async def test_an_instance_that_one_host_fails_to_build_is_built_on_another(tmp_path: Path) -> None:
    async with placement_cloud(tmp_path, 1, {"bad": BETTER, "good": ROOMY}) as cloud:
        cloud.drivers["bad"].hypervisor.fail("spawn", DriverFailureError("fake", "spawn", "no"), times=9)
        await cloud.create(await cloud.flavor(1))
        [instance] = await cloud.settled()
        assert (instance.vm_state, instance.host) == (VM_STATE_ACTIVE, "good")
        assert not cloud.drivers["bad"].hypervisor.guests
        assert {host.name: host.usage.instances for host in await cloud.hosts()} == {"bad": 0, "good": 1}


async def test_a_guest_that_ends_by_itself_makes_its_instance_stopped(tmp_path: Path) -> None:
    async with placement_cloud(tmp_path, 1, {"host1": ROOMY}) as cloud:
        [instance_id] = await cloud.create(await cloud.flavor(1))
        await cloud.settled()
        cloud.drivers["host1"].hypervisor.enter(instance_id, POWER_STATE_SHUTDOWN)
        async with asyncio.timeout(10):
            while (await cloud.settled())[0].vm_state != VM_STATE_STOPPED:
                await asyncio.sleep(0.02)


async def test_a_restarted_host_destroys_guests_whose_instances_are_deleted(tmp_path: Path) -> None:
    async with placement_cloud(tmp_path, 1, {"host1": ROOMY}) as cloud:
        flavor = await cloud.flavor(1)
        [kept] = await cloud.create(flavor)
        [deleted] = await cloud.create(flavor)
        await cloud.settled()
        await cloud.delete(deleted)
        async with asyncio.timeout(10):
            while len(await cloud.settled()) > 1:
                await asyncio.sleep(0.02)
        # As if the host had been down when its instance was deleted.
        driver = cloud.drivers["host1"]
        driver.hypervisor.enter(deleted, POWER_STATE_SHUTDOWN)
        driver.hypervisor.enter("made-by-nobody", POWER_STATE_SHUTDOWN)
        await cloud.computes["host1"].reconciler.compare(starting=True)
        assert set(driver.hypervisor.guests) == {kept, "made-by-nobody"}

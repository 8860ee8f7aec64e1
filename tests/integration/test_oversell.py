"""However many schedulers propose and conductors claim at once, no host is given more than it has.

And none that has room is left idle."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from drivers.virt.fake.options import FakeOptions
from novamesh.types.v1.instance_pb2 import VM_STATE_ACTIVE, VM_STATE_ERROR, Instance
from tests.placement_cloud import PlacementCloud, placement_cloud


async def check_sums(cloud: PlacementCloud, instances: list[Instance]) -> None:
    """Claims on each host are the sum of its instances, within its limits, and its guests are theirs."""
    for host in await cloud.hosts():
        here = [instance for instance in instances if instance.host == host.name]
        assert host.usage.instances == len(here)
        assert host.usage.vcpus == sum(one.flavor.vcpus for one in here)
        assert host.usage.memory_mb == sum(one.flavor.memory_mb for one in here)
        assert host.usage.vcpus <= host.inventory.vcpus
        assert host.usage.memory_mb <= host.inventory.memory_mb
        guests = cloud.drivers[host.name].hypervisor.guests
        assert set(guests) == {one.id for one in here}


@pytest.mark.parametrize("seed", range(3))
async def test_two_schedulers_cannot_oversell_a_host(seed: int, tmp_path: Path) -> None:
    """A random crowd of instances for hosts that can't take all of them; some are deleted meanwhile."""
    rng = random.Random(seed)
    sizes = {f"host{n}": rng.randint(2, 6) for n in range(4)}
    hosts = {name: FakeOptions(vcpus=vcpus, memory_mb=8192, disk_gb=100) for name, vcpus in sizes.items()}
    async with placement_cloud(tmp_path, 2, hosts) as cloud:
        small, large = await cloud.flavor(1), await cloud.flavor(2)
        wanted = [rng.choice((small, large)) for _ in range(rng.randint(20, 30))]
        asked = await asyncio.gather(*(cloud.create(flavor) for flavor in wanted))
        for ids in rng.sample(asked, 5):
            await cloud.delete(ids[0])
        instances = await cloud.settled()
        await check_sums(cloud, instances)
        for instance in instances:
            if instance.vm_state == VM_STATE_ERROR:
                assert "No valid host was found" in instance.fault.message
            else:
                assert instance.vm_state == VM_STATE_ACTIVE


async def test_two_schedulers_fill_the_cloud_to_the_last_place(tmp_path: Path) -> None:
    """As many instances as there are places: proposals that collide cost time, not places."""
    hosts = {f"host{n}": FakeOptions(vcpus=5, memory_mb=8192, disk_gb=100) for n in range(4)}
    async with placement_cloud(tmp_path, 2, hosts) as cloud:
        flavor = await cloud.flavor(1)
        await asyncio.gather(*(cloud.create(flavor) for _ in range(20)))
        instances = await cloud.settled()
        await check_sums(cloud, instances)
        assert Counter(one.host for one in instances) == dict.fromkeys(hosts, 5)
        [late] = await cloud.create(flavor)
        refused = next(one for one in await cloud.settled() if one.id == late)
        assert refused.vm_state == VM_STATE_ERROR
        assert "CoreFilter left 0 of 4" in refused.fault.message

"""However many schedulers propose and conductors claim at once, hard policies of server groups hold."""

import asyncio
import random
import uuid
from collections import Counter
from pathlib import Path

import pytest

from drivers.virt.fake.options import FakeOptions
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest
from novamesh.conductor.v1.server_group_service_pb2 import CreateServerGroupRequest
from novamesh.conductor.v1.server_group_service_pb2_grpc import ServerGroupServiceStub
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import VM_STATE_ACTIVE, VM_STATE_ERROR, Instance
from novamesh.types.v1.request_context_pb2 import RequestContext
from novamesh.types.v1.server_group_pb2 import ServerGroup
from services.mesh import calling_as
from tests.placement_cloud import PROJECT, USER, PlacementCloud, placement_cloud

HOSTS = {f"host{n}": FakeOptions(vcpus=32, memory_mb=8192, disk_gb=100) for n in range(4)}


async def grouped(cloud: PlacementCloud, policy: str, most: int = 0) -> str:
    """A new group's id."""
    wanted = ServerGroup(name="g", policy=policy, max_server_per_host=most)
    with calling_as(RequestContext(project_id=PROJECT, user_id=USER)):
        stub = ServerGroupServiceStub(cloud.node.channel("conductor"))
        answer = await stub.CreateServerGroup(CreateServerGroupRequest(server_group=wanted))
    return answer.server_group.id


async def create(cloud: PlacementCloud, flavor: Flavor, group: str, count: int) -> None:
    """Ask for members."""
    request = CreateInstancesRequest(
        request_id=f"req-{uuid.uuid4()}",
        template=Instance(display_name="x", scheduler_hints={"group": group}),
        flavor_id=flavor.id,
        min_count=count,
        max_count=count,
        no_network=True,
    )
    with calling_as(RequestContext(project_id=PROJECT, user_id=USER)):
        await cloud.instances.CreateInstances(request)


@pytest.mark.parametrize("seed", range(3))
async def test_two_schedulers_cannot_break_anti_affinity(seed: int, tmp_path: Path) -> None:
    """More members than there are places; some ask for several at once."""
    rng = random.Random(seed)
    most = rng.randint(1, 2)
    async with placement_cloud(tmp_path, 2, HOSTS) as cloud:
        flavors = [await cloud.flavor(1), await cloud.flavor(2)]
        group = await grouped(cloud, "anti-affinity", most)
        # The quota admits ten members.
        counts = [1, 2, 3, 1, 3]
        rng.shuffle(counts)
        await asyncio.gather(*(create(cloud, rng.choice(flavors), group, count) for count in counts))
        members = await cloud.settled()
        there = Counter(one.host for one in members if one.vm_state == VM_STATE_ACTIVE)
        assert there == dict.fromkeys(HOSTS, most)
        assert all(
            "No valid host was found" in one.fault.message
            for one in members
            if one.vm_state == VM_STATE_ERROR
        )


async def test_two_schedulers_cannot_break_affinity(tmp_path: Path) -> None:
    async with placement_cloud(tmp_path, 2, HOSTS) as cloud:
        flavors = [await cloud.flavor(1), await cloud.flavor(2)]
        group = await grouped(cloud, "affinity")
        await asyncio.gather(*(create(cloud, flavors[n % 2], group, 1) for n in range(10)))
        members = await cloud.settled()
        assert [one.vm_state for one in members] == [VM_STATE_ACTIVE] * 10
        assert len({one.host for one in members}) == 1

"""The compute role's HostService: power, maintenance and images of the host, where the driver can."""

from collections.abc import AsyncIterator

import pytest

from drivers.testsuite import MemoryImages
from drivers.virt.fake import FakeDriver, FakeOptions
from drivers.virt.fake.driver import FakeInventory
from drivers.virt.fake.hypervisor import FakeHypervisor
from drivers.virt.fake.lifecycle import FakeLifecycle
from novamesh.compute.v1 import host_service_pb2 as pb
from novamesh.compute.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import InvalidArgumentError, NotSupportedError, PermissionDeniedError
from tests.compute_cloud import ComputeCloud, compute_cloud


class PlainDriver(FakeLifecycle, FakeInventory):
    """A driver without any ability."""

    name = "plain"

    def __init__(self) -> None:
        super().__init__(FakeHypervisor(FakeOptions()), None)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@pytest.fixture
async def cloud() -> AsyncIterator[ComputeCloud]:
    async with compute_cloud() as made:
        yield made


async def _power(cloud: ComputeCloud, action: pb.HostPowerAction.ValueType) -> None:
    gateway = await cloud.node.peer("gateway")
    stub = HostServiceStub(gateway.channel_to(_address(cloud), "compute", "host1"))
    await stub.RunHostPowerAction(pb.RunHostPowerActionRequest(action=action))


def _address(cloud: ComputeCloud) -> str:
    return str(cloud.conductor.hosts["host1"].address)


async def test_power_and_maintenance_reach_the_driver(cloud: ComputeCloud) -> None:
    host = await cloud.host()
    await _power(cloud, pb.HOST_POWER_ACTION_REBOOT)
    await _power(cloud, pb.HOST_POWER_ACTION_STARTUP)
    assert host.driver.hypervisor.power_actions == ["reboot", "startup"]
    with pytest.raises(InvalidArgumentError):
        await _power(cloud, pb.HOST_POWER_ACTION_UNSPECIFIED)
    gateway = HostServiceStub((await cloud.node.peer("gateway")).channel_to(host.address, "compute", "host1"))
    await gateway.SetHostMaintenance(pb.SetHostMaintenanceRequest(maintenance=True))
    assert host.driver.hypervisor.maintenance
    await gateway.SetHostMaintenance(pb.SetHostMaintenanceRequest(maintenance=False))
    assert not host.driver.hypervisor.maintenance


async def test_a_driver_that_cannot_says_so(cloud: ComputeCloud) -> None:
    host = await cloud.host_of(PlainDriver())
    with pytest.raises(NotSupportedError, match="plain driver"):
        await _power(cloud, pb.HOST_POWER_ACTION_REBOOT)
    conductor = HostServiceStub(cloud.node.channel_to(host.address, "compute", "host1"))
    answer = await conductor.CacheImages(pb.CacheImagesRequest(image_ids=["a"]))
    assert dict(answer.outcomes) == {"a": pb.CACHE_OUTCOME_UNSUPPORTED}
    # The host's power is nothing for the conductor.
    with pytest.raises(PermissionDeniedError):
        await conductor.RunHostPowerAction(pb.RunHostPowerActionRequest(action=pb.HOST_POWER_ACTION_REBOOT))


async def test_images_are_cached_one_by_one(cloud: ComputeCloud) -> None:
    images = MemoryImages()
    good, other = images.add(b"a"), images.add(b"b")
    host = await cloud.host(driver=FakeDriver(FakeOptions(), images))
    stub = HostServiceStub(cloud.node.channel_to(host.address, "compute", "host1"))
    request = pb.CacheImagesRequest(image_ids=[good, "absent", good])
    first = await stub.CacheImages(request)
    assert dict(first.outcomes) == {good: pb.CACHE_OUTCOME_CACHED, "absent": pb.CACHE_OUTCOME_ERROR}
    second = await stub.CacheImages(pb.CacheImagesRequest(image_ids=[good, other]))
    assert dict(second.outcomes) == {good: pb.CACHE_OUTCOME_EXISTING, other: pb.CACHE_OUTCOME_CACHED}
    assert host.driver.hypervisor.cached_images == {good, other}

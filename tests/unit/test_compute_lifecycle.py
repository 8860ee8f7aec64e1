"""The compute role through its servicers, on the fake driver."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from drivers.virt.fake.driver import FakeDriver
from drivers.virt.fake.options import FakeOptions
from drivers.virt.protocols import Boot
from novamesh.compute.v1 import console_service_pb2 as console
from novamesh.compute.v1 import lifecycle_service_pb2 as pb
from novamesh.compute.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from novamesh.failures import (
    DeadlineExceededError,
    DriverFailureError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from novamesh.image.v1 import image_service_pb2
from novamesh.metadata.v1 import metadata_service_pb2 as metadata
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    POWER_STATE_SUSPENDED,
    TASK_STATE_DELETING,
    Instance,
)
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, REBOOT_TYPE_SOFT
from services.compute import ComputeOptions, MeshImages
from services.compute import progress as compute_progress
from services.mesh import Binding, Call
from services.mesh.testing import ServiceRole
from tests.compute_cloud import building, compute_cloud, until


class GatedDriver(FakeDriver):
    """A fake whose spawn waits until it is let go; counts them."""

    def __init__(self) -> None:
        super().__init__(FakeOptions())
        self.spawns = 0
        self.go = asyncio.Event()
        self.boots: list[Boot] = []

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        self.spawns += 1
        self.boots.append(boot)
        boot.progress("fetching image", 40)
        await self.go.wait()
        await super().spawn(instance, boot)


def build(instance_id: str, operation_id: str = "op") -> pb.BuildInstanceRequest:
    return pb.BuildInstanceRequest(operation_id=operation_id, instance=building(instance_id))


def delete(instance_id: str, operation_id: str = "op-delete") -> pb.DeleteInstanceRequest:
    instance = building(instance_id)
    instance.task_state = TASK_STATE_DELETING
    return pb.DeleteInstanceRequest(operation_id=operation_id, instance=instance)


@pytest.mark.parametrize("wire", [False, True])
async def test_a_whole_life(wire: bool) -> None:
    async with compute_cloud(wire) as cloud:
        host = await cloud.host()
        rpc, instance = host.lifecycle, building("i1")
        built = await rpc.BuildInstance(build("i1"))
        assert built.power_state == POWER_STATE_RUNNING
        assert built.HasField("launched_at")
        assert built.root_device_name == "/dev/vda"
        about = {"instance": instance}
        stopped = await rpc.StopInstance(
            pb.StopInstanceRequest(operation_id="2", shutdown_timeout=1, **about)
        )
        assert stopped.power_state == POWER_STATE_SHUTDOWN
        started = await rpc.StartInstance(pb.StartInstanceRequest(operation_id="3", **about))
        assert started.power_state == POWER_STATE_RUNNING
        for how in (REBOOT_TYPE_SOFT, REBOOT_TYPE_HARD):
            rebooted = await rpc.RebootInstance(
                pb.RebootInstanceRequest(operation_id=f"4-{how}", type=how, **about)
            )
            assert rebooted.power_state == POWER_STATE_RUNNING
        paused = await rpc.PauseInstance(pb.PauseInstanceRequest(operation_id="5", **about))
        assert paused.power_state == POWER_STATE_PAUSED
        unpaused = await rpc.UnpauseInstance(pb.UnpauseInstanceRequest(operation_id="6", **about))
        assert unpaused.power_state == POWER_STATE_RUNNING
        suspended = await rpc.SuspendInstance(pb.SuspendInstanceRequest(operation_id="7", **about))
        assert suspended.power_state == POWER_STATE_SUSPENDED
        resumed = await rpc.ResumeInstance(pb.ResumeInstanceRequest(operation_id="8", **about))
        assert resumed.power_state == POWER_STATE_RUNNING
        await rpc.DeleteInstance(delete("i1"))
        await rpc.DeleteInstance(delete("i1", "another"))
        assert not host.driver.hypervisor.guests
        # All of it was asked for: nothing is news to the conductor.
        await asyncio.sleep(0.5)
        assert cloud.conductor.power_states == []


async def test_a_repeated_build_joins_the_first_and_survives_its_caller() -> None:
    async with compute_cloud() as cloud:
        driver = GatedDriver()
        host = await cloud.host(driver=driver)
        with pytest.raises(DeadlineExceededError):
            await host.lifecycle.BuildInstance(build("i1"), timeout=0.05)
        again = asyncio.ensure_future(host.lifecycle.BuildInstance(build("i1")))
        await until(lambda: driver.spawns == 1)
        driver.go.set()
        assert (await again).power_state == POWER_STATE_RUNNING
        assert (await host.lifecycle.BuildInstance(build("i1"))).power_state == POWER_STATE_RUNNING
        assert driver.spawns == 1


async def test_after_a_restart_a_repeated_build_ends_in_the_same_place() -> None:
    driver = FakeDriver(FakeOptions())
    for _ in range(2):
        async with compute_cloud() as cloud:
            host = await cloud.host(driver=driver)
            assert (await host.lifecycle.BuildInstance(build("i1"))).power_state == POWER_STATE_RUNNING
    assert driver.hypervisor.guests["i1"].boots == 1


async def test_after_a_delete_that_failed_the_guest_may_be_worked_on() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        await host.lifecycle.BuildInstance(build("i1"))
        host.driver.hypervisor.fail("destroy", DriverFailureError("fake", "destroy", "no"))
        with pytest.raises(DriverFailureError):
            await host.lifecycle.DeleteInstance(delete("i1"))
        reboot = pb.RebootInstanceRequest(
            operation_id="reboot", instance=building("i1"), type=REBOOT_TYPE_HARD
        )
        assert (await host.lifecycle.RebootInstance(reboot)).power_state == POWER_STATE_RUNNING
        # One that succeeds closes it for good.
        await host.lifecycle.DeleteInstance(delete("i1"))
        with pytest.raises(NotFoundError, match="is being deleted"):
            await host.lifecycle.BuildInstance(build("i1", "late"))


async def test_a_delete_stops_a_build() -> None:
    async with compute_cloud() as cloud:
        driver = GatedDriver()
        host = await cloud.host(driver=driver)
        building_it = asyncio.ensure_future(host.lifecycle.BuildInstance(build("i1")))
        await until(lambda: driver.spawns == 1)
        await host.lifecycle.DeleteInstance(delete("i1"))
        with pytest.raises(NotFoundError, match="is being deleted"):
            await building_it
        driver.go.set()
        # A conductor that has lost its lease doesn't know of the delete yet.
        with pytest.raises(NotFoundError):
            await host.lifecycle.BuildInstance(build("i1"))
        assert not driver.hypervisor.guests


async def test_a_failed_build_leaves_nothing_and_may_be_tried_again() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        host.driver.hypervisor.fail("spawn", DriverFailureError("fake", "spawn", "no"))
        with pytest.raises(DriverFailureError):
            await host.lifecycle.BuildInstance(build("i1"))
        assert not host.driver.hypervisor.guests
        assert (await host.lifecycle.BuildInstance(build("i1"))).power_state == POWER_STATE_RUNNING


async def test_a_part_that_is_away_leaves_a_build_where_it_is() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        host.driver.hypervisor.enter("i1", POWER_STATE_SHUTDOWN)
        host.driver.hypervisor.fail("spawn", UnavailableError("libvirt", "libvirt is away"))
        with pytest.raises(UnavailableError, match="libvirt is away"):
            await host.lifecycle.BuildInstance(build("i1"))
        assert list(host.driver.hypervisor.guests) == ["i1"]


async def test_builds_wait_for_their_turn() -> None:
    async with compute_cloud() as cloud:
        driver = GatedDriver()
        options = ComputeOptions(max_concurrent_builds=2, sync_power_state_interval=0)
        host = await cloud.host(driver=driver, options=options)
        builds = [
            asyncio.ensure_future(host.lifecycle.BuildInstance(build(f"i{n}", f"op{n}"))) for n in range(5)
        ]
        await until(lambda: driver.spawns == 2)
        await asyncio.sleep(0.02)
        assert driver.spawns == 2
        driver.go.set()
        await asyncio.gather(*builds)
        assert len(driver.hypervisor.guests) == 5


async def test_lost_guests() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        instance = building("lost")
        stopped = await host.lifecycle.StopInstance(
            pb.StopInstanceRequest(operation_id="1", instance=instance)
        )
        assert stopped.power_state == POWER_STATE_SHUTDOWN
        started = await host.lifecycle.StartInstance(
            pb.StartInstanceRequest(operation_id="2", instance=instance)
        )
        assert started.power_state == POWER_STATE_RUNNING
        other = building("other")
        rebooted = await host.lifecycle.RebootInstance(
            pb.RebootInstanceRequest(operation_id="3", instance=other, type=REBOOT_TYPE_SOFT)
        )
        assert rebooted.power_state == POWER_STATE_RUNNING
        with pytest.raises(NotFoundError):
            await host.lifecycle.PauseInstance(
                pb.PauseInstanceRequest(operation_id="4", instance=building("third"))
            )


async def test_requests_that_can_not_be_meant() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        with pytest.raises(InvalidArgumentError, match="operation has no id"):
            await host.lifecycle.BuildInstance(pb.BuildInstanceRequest(instance=building("i1")))
        with pytest.raises(InvalidArgumentError, match="No instance"):
            await host.lifecycle.StopInstance(pb.StopInstanceRequest(operation_id="1"))
        with pytest.raises(InvalidArgumentError, match="belongs on elsewhere"):
            await host.lifecycle.BuildInstance(
                pb.BuildInstanceRequest(operation_id="1", instance=building("i1", "elsewhere"))
            )
        gateway = await cloud.node.peer("gateway")
        with pytest.raises(PermissionDeniedError):
            await LifecycleServiceStub(gateway.channel("compute")).BuildInstance(build("i1"))


async def test_two_hosts_in_one_process_keep_apart() -> None:
    async with compute_cloud() as cloud:
        one, two = await cloud.host("host1"), await cloud.host("host2")
        assert cloud.conductor.hosts["host1"].address != cloud.conductor.hosts["host2"].address
        await one.lifecycle.BuildInstance(build("i1"))
        request = pb.BuildInstanceRequest(operation_id="op2", instance=building("i2", "host2"))
        await two.lifecycle.BuildInstance(request)
        assert list(one.driver.hypervisor.guests) == ["i1"]
        assert list(two.driver.hypervisor.guests) == ["i2"]


async def test_long_steps_are_reported_and_quick_ones_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compute_progress, "INTERVAL", 0.02)
    async with compute_cloud() as cloud:
        driver = GatedDriver()
        host = await cloud.host(driver=driver)
        building_it = asyncio.ensure_future(host.lifecycle.BuildInstance(build("i1", "long")))
        await until(lambda: cloud.conductor.progress == [("long", "fetching image", 40)])
        driver.go.set()
        await building_it
        monkeypatch.setattr(compute_progress, "INTERVAL", 60.0)
        await host.lifecycle.BuildInstance(build("i2", "quick"))
        assert [operation for operation, *_ in cloud.conductor.progress] == ["long"]


class Metadata:
    """A metadata role with one config drive."""

    async def GetConfigDrive(
        self, request: metadata.GetConfigDriveRequest, call: Call
    ) -> metadata.GetConfigDriveResponse:
        assert call.peer.role == "compute"
        file = metadata.ConfigDriveFile(path="openstack/latest/meta_data.json", content=b"{}")
        return metadata.GetConfigDriveResponse(files=[file])


async def test_a_config_drive_comes_from_the_metadata_role() -> None:
    async with compute_cloud() as cloud:
        service = metadata.DESCRIPTOR.services_by_name["MetadataService"]
        await cloud.node.serve(ServiceRole("metadata", [Binding(service, Metadata())]))
        driver = GatedDriver()
        driver.go.set()
        host = await cloud.host(driver=driver)
        instance = building("i1")
        instance.config_drive = True
        await host.lifecycle.BuildInstance(pb.BuildInstanceRequest(operation_id="1", instance=instance))
        await host.lifecycle.BuildInstance(build("i2", "2"))
        assert [dict(boot.config_drive) for boot in driver.boots] == [
            {"openstack/latest/meta_data.json": b"{}"},
            {},
        ]


class Images:
    """An image role with one image."""

    async def GetImage(
        self, request: image_service_pb2.GetImageRequest, call: Call
    ) -> image_service_pb2.GetImageResponse:
        assert not call.context.user_id
        return image_service_pb2.GetImageResponse(image=Image(id=request.image_id, size=6))

    async def DownloadImage(
        self, request: image_service_pb2.DownloadImageRequest, call: Call
    ) -> AsyncIterator[image_service_pb2.DownloadImageResponse]:
        yield image_service_pb2.DownloadImageResponse(image=Image(id=request.image_id))
        for chunk in (b"abc", b"def"):
            yield image_service_pb2.DownloadImageResponse(chunk=chunk)


async def test_images_come_from_the_image_role() -> None:
    async with compute_cloud() as cloud:
        service = image_service_pb2.DESCRIPTOR.services_by_name["ImageService"]
        await cloud.node.serve(ServiceRole("image", [Binding(service, Images())]))
        images = MeshImages(await cloud.node.peer("compute"))
        assert (await images.get("img")).size == 6
        assert b"".join([chunk async for chunk in images.open("img")]) == b"abcdef"
        with pytest.raises(NotFoundError):
            await anext(images.open(""))


async def test_consoles() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        await host.lifecycle.BuildInstance(build("i1"))
        gateway = await cloud.node.peer("gateway")
        stub = host.console_as(gateway)
        output = await stub.GetConsoleOutput(console.GetConsoleOutputRequest(instance_id="i1", lines=1))
        assert output.output == b"fake guest i1: boot 1: login:\n"
        endpoint = await stub.GetConsoleEndpoint(
            console.GetConsoleEndpointRequest(instance_id="i1", type=console.CONSOLE_TYPE_NOVNC)
        )
        assert (endpoint.host, endpoint.port > 5900) == ("127.0.0.1", True)
        with pytest.raises(InvalidArgumentError):
            await stub.GetConsoleEndpoint(console.GetConsoleEndpointRequest(instance_id="i1"))
        with pytest.raises(NotFoundError):
            await stub.GetConsoleOutput(console.GetConsoleOutputRequest(instance_id="nobody"))

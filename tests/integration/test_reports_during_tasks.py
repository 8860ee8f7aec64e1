"""What a guest does by itself while a task is under way reaches its record once the task has ended."""

import asyncio
from pathlib import Path

import pytest

from drivers.virt.fake.options import FakeOptions
from novamesh.conductor.v1.operation_service_pb2 import StartOperationRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.failures import DriverFailureError
from novamesh.types.v1.instance_pb2 import POWER_STATE_SHUTDOWN, VM_STATE_ACTIVE, VM_STATE_STOPPED
from novamesh.types.v1.operation_pb2 import OPERATION_KIND_PAUSE
from services.compute import power_states
from tests.placement_cloud import placement_cloud


async def test_a_guest_that_ends_while_an_action_fails_makes_its_instance_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power_states, "GATHER", 0.01)
    monkeypatch.setattr(power_states, "AGAIN", 0.05)
    roomy = FakeOptions(vcpus=8, memory_mb=8192, disk_gb=100)
    async with placement_cloud(tmp_path, 1, {"host1": roomy}) as cloud:
        [instance_id] = await cloud.create(await cloud.flavor(1))
        [one] = await cloud.settled()
        assert one.vm_state == VM_STATE_ACTIVE
        hypervisor = cloud.drivers["host1"].hypervisor
        hypervisor.fail("pause", DriverFailureError("fake", "pause", "no luck"), times=100)
        await OperationServiceStub(cloud.node.channel("conductor")).StartOperation(
            StartOperationRequest(request_id="req-1", instance_id=instance_id, kind=OPERATION_KIND_PAUSE)
        )
        # Between two attempts: the host is idle, the record is not.
        hypervisor.enter(instance_id, POWER_STATE_SHUTDOWN)
        [after] = await cloud.settled()
        async with asyncio.timeout(10):
            while after.vm_state != VM_STATE_STOPPED:
                await asyncio.sleep(0.02)
                [after] = await cloud.settled()
        assert after.power_state == POWER_STATE_SHUTDOWN
        assert (after.fault.message, after.fault.details) == ("The hypervisor failed (pause).", "no luck")

"""Soft delete, restore and reclaim, with their quota."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from novamesh.failures import QuotaExceededError, StateConflictError
from novamesh.types.v1.instance_pb2 import PowerState, TaskState, VmState
from novamesh.types.v1.operation_pb2 import OperationKind
from tests.unit.conductor.fakes import OPTIONS, Cloud, cloud_at, sqlite_url, with_quota

SOFT_DELETE = OperationKind.OPERATION_KIND_SOFT_DELETE
RESTORE = OperationKind.OPERATION_KIND_RESTORE
DELETE = OperationKind.OPERATION_KIND_DELETE
KEPT = replace(OPTIONS, reclaim_instance_interval=3600)


async def _soft_deleted(cloud: Cloud) -> str:
    (instance,) = await cloud.active()
    assert (await cloud.start(instance.id, SOFT_DELETE)).kind == SOFT_DELETE
    kept = await cloud.settle(instance.id)
    assert kept.vm_state == VmState.VM_STATE_SOFT_DELETED
    assert kept.power_state == PowerState.POWER_STATE_SHUTDOWN
    assert kept.HasField("soft_deleted_at")
    assert not kept.HasField("deleted_at")
    return instance.id


async def _gone(cloud: Cloud, instance_id: str) -> None:
    async with asyncio.timeout(10):
        while (await cloud.get(instance_id)).vm_state != VmState.VM_STATE_DELETED:
            await asyncio.sleep(0.01)


async def test_kept_restored_and_deleted_again(tmp_path: Path) -> None:
    async with cloud_at(sqlite_url(tmp_path), options=KEPT) as cloud:
        instance_id = await _soft_deleted(cloud)
        await cloud.start(instance_id, RESTORE)
        back = await cloud.settle(instance_id)
        assert (back.vm_state, back.power_state) == (
            VmState.VM_STATE_ACTIVE,
            PowerState.POWER_STATE_RUNNING,
        )
        assert not back.HasField("soft_deleted_at")
        with pytest.raises(StateConflictError, match="Cannot 'restore' instance"):
            await cloud.start(instance_id, RESTORE)
        await cloud.start(instance_id, SOFT_DELETE)
        await cloud.settle(instance_id)
        # Once more is for good.
        assert (await cloud.start(instance_id, SOFT_DELETE)).kind == DELETE
        await _gone(cloud, instance_id)


async def test_a_delete_is_a_delete_when_nothing_is_deferred(tmp_path: Path) -> None:
    async with cloud_at(sqlite_url(tmp_path)) as cloud:
        (instance,) = await cloud.active()
        assert (await cloud.start(instance.id, SOFT_DELETE)).kind == DELETE
        await _gone(cloud, instance.id)


async def test_what_never_ran_is_deleted_at_once(tmp_path: Path) -> None:
    async with cloud_at(sqlite_url(tmp_path), options=KEPT) as cloud:
        cloud.scheduler.full = 100
        (instance,) = await cloud.create()
        assert (await cloud.settle(instance.id)).vm_state == VmState.VM_STATE_ERROR
        assert (await cloud.start(instance.id, SOFT_DELETE)).kind == DELETE


async def test_the_quota_is_free_meanwhile_and_asked_again_by_a_restore(tmp_path: Path) -> None:
    options = replace(with_quota(instances=1, cores=-1, ram=-1), reclaim_instance_interval=3600)
    async with cloud_at(sqlite_url(tmp_path), options=options) as cloud:
        kept = await _soft_deleted(cloud)
        (other,) = await cloud.active()
        with pytest.raises(QuotaExceededError, match="already used 1 of 1 instances"):
            await cloud.start(kept, RESTORE)
        assert (await cloud.get(kept)).task_state == TaskState.TASK_STATE_UNSPECIFIED
        await cloud.delete(other.id)
        await _gone(cloud, other.id)
        # A delete that overtakes a restore leaves nothing counted.
        cloud.computes["host1"].gates["start"] = asyncio.Event()
        cloud.computes["host2"].gates["start"] = asyncio.Event()
        await cloud.start(kept, RESTORE)
        with pytest.raises(QuotaExceededError):
            await cloud.create()
        await cloud.delete(kept)
        await _gone(cloud, kept)
        await cloud.active()
        with pytest.raises(QuotaExceededError):
            await cloud.create()


async def test_a_restore_that_fails_leaves_it_deleted(tmp_path: Path) -> None:
    options = replace(with_quota(instances=1, cores=-1, ram=-1), reclaim_instance_interval=3600)
    async with cloud_at(sqlite_url(tmp_path), options=options) as cloud:
        kept = await _soft_deleted(cloud)
        for compute in cloud.computes.values():
            compute.failures["start"] = [StateConflictError("no", None)] * 2  # type: ignore[arg-type]
        await cloud.start(kept, RESTORE)
        failed = await cloud.settle(kept)
        assert failed.vm_state == VmState.VM_STATE_SOFT_DELETED
        assert failed.fault.message
        await cloud.active()


async def test_a_soft_delete_that_fails_leaves_it_as_it_was(tmp_path: Path) -> None:
    async with cloud_at(sqlite_url(tmp_path), options=KEPT) as cloud:
        (instance,) = await cloud.active()
        for compute in cloud.computes.values():
            compute.failures["stop"] = [ValueError("broken")]
        await cloud.start(instance.id, SOFT_DELETE)
        assert (await cloud.settle(instance.id)).vm_state == VmState.VM_STATE_ACTIVE


async def test_reclaimed_after_the_interval_and_not_before(tmp_path: Path) -> None:
    async with cloud_at(sqlite_url(tmp_path), options=replace(OPTIONS, reclaim_instance_interval=1)) as cloud:
        instance_id = await _soft_deleted(cloud)
        await cloud.role.reclaimer.reclaim()
        assert (await cloud.get(instance_id)).vm_state == VmState.VM_STATE_SOFT_DELETED
        await _gone(cloud, instance_id)

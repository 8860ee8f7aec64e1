"""Crashes, repeats and races that a ledger must survive: each was once a defect."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db import hosts, leases, operations
from db.schema.base import now
from novamesh.conductor.v1.host_service_pb2 import ReportHostRequest
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2 import (
    ReportedPowerState,
    ReportPowerStatesRequest,
    ResetInstanceStateRequest,
)
from novamesh.conductor.v1.instance_service_pb2_grpc import InstanceServiceStub
from novamesh.conductor.v1.operation_service_pb2 import GetOperationRequest, ReportProgressRequest
from novamesh.failures import UnavailableError
from novamesh.types.v1.instance_pb2 import PowerState, VmState
from novamesh.types.v1.operation_pb2 import OperationKind
from services.conductor.feed import Feed
from services.conductor.progress import REMEMBERED, ProgressBook
from services.conductor.role import ConductorRole
from services.conductor.watching import follow
from tests.unit.conductor.fakes import OPTIONS, Cloud, cloud_at, database_at, register, with_quota
from tests.unit.conductor.test_ledger import down, nothing_is_held, operation, used

ACTIVE, ERROR, DELETED = VmState.VM_STATE_ACTIVE, VmState.VM_STATE_ERROR, VmState.VM_STATE_DELETED
Kind = OperationKind


@pytest.fixture
async def cloud(sqlite: str) -> AsyncIterator[Cloud]:
    async with cloud_at(sqlite) as made:
        yield made


async def silent(cloud: Cloud, name: str) -> None:
    """As if the host's last heartbeat were an hour ago."""
    long_ago = now() - timedelta(hours=1)
    await cloud.database.write(lambda c: hosts.report(c, [hosts.Heartbeat(name, long_ago, 90, "")]))


async def test_a_boot_waits_for_a_host_that_starts_together_with_the_conductor(sqlite: str) -> None:
    """After a restart of a cloud on one machine the ledger is at work before the compute role answers."""
    async with cloud_at(sqlite, ("host1",)) as cloud:
        gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
        cloud.computes["host1"].failures["build"] = [UnavailableError("compute", "not yet")] * 2
        [made] = await cloud.create()
        await cloud.computes["host1"].entered.wait()
        await silent(cloud, "host1")
        gate.set()
        assert (await cloud.settle(made.id)).vm_state == ACTIVE


async def test_a_boot_leaves_a_host_that_was_declared_down_at_once(cloud: Cloud) -> None:
    gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
    cloud.computes["host1"].failures["build"] = [UnavailableError("compute", "gone")] * 2
    [made] = await cloud.create()
    await cloud.computes["host1"].entered.wait()
    await down(cloud, "host1")
    gate.set()
    one = await cloud.settle(made.id)
    assert (one.vm_state, one.host) == (ACTIVE, "host2")


async def test_a_build_whose_state_was_reset_ends_and_blocks_nothing(cloud: Cloud) -> None:
    gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
    cloud.computes["host1"].failures["build"] = [UnavailableError("libvirt", "away")] * 3
    [made] = await cloud.create()
    await cloud.computes["host1"].entered.wait()
    await cloud.instances.ResetInstanceState(ResetInstanceStateRequest(id=made.id, vm_state=ERROR))
    gate.set()
    async with asyncio.timeout(20):
        while (await operation(cloud, made.id, Kind.OPERATION_KIND_CREATE)).state in (
            operations.PENDING,
            operations.RUNNING,
        ):
            await asyncio.sleep(0.01)
    assert (await cloud.get(made.id)).vm_state == ERROR
    await cloud.delete(made.id)
    assert (await cloud.settle(made.id)).vm_state == DELETED
    await nothing_is_held(cloud)


async def test_a_create_asked_again_is_the_first_although_it_filled_the_quota(sqlite: str) -> None:
    async with cloud_at(sqlite, options=with_quota(instances=2, cores=-1, ram=-1)) as cloud:
        request_id = f"req-{uuid.uuid4()}"
        first = await cloud.create(2, request_id=request_id)
        again = await cloud.create(2, request_id=request_id)
        assert [one.id for one in again] == [one.id for one in first]
        assert (await used(cloud))["instances"] == 2


async def test_a_conductor_that_stops_leaves_nothing_leased(sqlite: str) -> None:
    options = replace(OPTIONS, operation_lease=600)
    async with cloud_at(sqlite, ("host1",), options) as cloud:
        gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
        [made] = await cloud.create()
        await cloud.computes["host1"].entered.wait()
        await cloud.role.ledger.stop()
        await cloud.role.ledger.release()
        gate.set()
        async with database_at(sqlite) as database:
            heir = ConductorRole(await cloud.node.peer("conductor", "host9"), options, database)
            await heir.start()
            try:
                assert (await cloud.settle(made.id)).vm_state == ACTIVE
            finally:
                await heir.stop()


async def test_a_picture_that_lags_costs_time_and_not_the_boot(cloud: Cloud) -> None:
    """The scheduler says that the cloud is full: it has not yet heard of the delete that made room."""

    cloud.scheduler.full = 1
    await cloud.active()
    assert len(cloud.scheduler.requests) == 2


async def test_a_delete_does_without_its_host_only_while_that_is_down(cloud: Cloud) -> None:
    """The host registers between the look at it and the record's end: its guest must not stay."""
    [one] = await cloud.active()
    await silent(cloud, one.host)
    ground = cloud.role.ledger._workflows[Kind.OPERATION_KIND_DELETE]._ground  # type: ignore[attr-defined]
    read = ground.read
    looked: list[Any] = []

    async def read_and_register(instance_id: str) -> Any:
        found = await read(instance_id)
        if not looked:
            looked.append(found)
            known = found[1]
            await register(cloud.node, known.name, known.address, known.network_address)
        return found

    object.__setattr__(ground, "read", read_and_register)
    await cloud.delete(one.id)
    assert (await cloud.settle(one.id)).vm_state == DELETED
    assert cloud.computes[one.host].count("delete") == 1
    await nothing_is_held(cloud)


async def test_who_lost_its_lease_clears_no_host(sqlite: str) -> None:
    """The build that fails here may be another conductor's by now, and go well."""
    async with cloud_at(sqlite, ("host1",)) as cloud:
        gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
        cloud.computes["host1"].failures["build"] = [RuntimeError("broken")]
        [made] = await cloud.create()
        await cloud.computes["host1"].entered.wait()
        later = now() + timedelta(hours=1)
        lease = operations.Lease("somebody else", later + timedelta(hours=1))
        assert len(await cloud.database.write(lambda c: leases.claim(c, lease, later, 10))) == 1
        gate.set()
        await asyncio.sleep(0.2)
        assert cloud.computes["host1"].count("delete") == 0
        assert (await cloud.get(made.id)).vm_state == VmState.VM_STATE_BUILDING


async def test_a_report_about_a_busy_instance_is_asked_for_again(cloud: Cloud) -> None:
    [one] = await cloud.active()
    compute = cloud.computes[one.host]
    gate = compute.gates["pause"] = asyncio.Event()
    compute.entered.clear()
    await cloud.start(one.id, Kind.OPERATION_KIND_PAUSE)
    await compute.entered.wait()
    stub = InstanceServiceStub((await cloud.node.peer("compute", one.host)).channel("conductor"))
    shut = ReportPowerStatesRequest(
        states=[ReportedPowerState(instance_id=one.id, power_state=PowerState.POWER_STATE_SHUTDOWN)]
    )
    assert list((await stub.ReportPowerStates(shut)).busy_instance_ids) == [one.id]
    gate.set()
    await cloud.settle(one.id)
    assert list((await stub.ReportPowerStates(shut)).busy_instance_ids) == []


def test_progress_of_operations_that_nobody_looks_at_is_forgotten() -> None:
    book = ProgressBook()
    for number in range(REMEMBERED + 10):
        book.note(ReportProgressRequest(id=str(number), step="x", progress=1), "host1")
    assert not book.knows("0", "host1")
    assert book.knows(str(REMEMBERED + 9), "host1")
    assert len(book.unwritten()) == REMEMBERED


async def test_a_step_of_many_messages_ends_before_its_revision_is_told() -> None:
    """Who loses the connection in the middle resumes before the step, and is sent the rest again."""
    feed = Feed()
    feed.touch(["a"])
    steps = follow(feed, feed.revision, 0)
    before = feed.revision
    feed.touch(["b", "c"])
    step = await anext(steps)
    assert (step.before, step.revision) == (before, feed.revision)
    await steps.aclose()  # type: ignore[attr-defined]
    fresh = follow(feed, 0, 0)
    assert (await anext(fresh)).before == 0
    await fresh.aclose()  # type: ignore[attr-defined]


async def waiting(cloud: Cloud, operation_id: str) -> None:
    """Return once the operation has been put off."""
    async with asyncio.timeout(20):
        while (
            await cloud.operations.GetOperation(GetOperationRequest(id=operation_id))
        ).operation.state != operations.PENDING:
            await asyncio.sleep(0.01)


async def test_work_goes_on_as_soon_as_a_host_is_no_longer_declared_down(sqlite: str) -> None:
    async with cloud_at(sqlite, ("host1",), replace(OPTIONS, max_retry_interval=600)) as cloud:
        [one] = await cloud.active()
        await down(cloud, "host1")
        await waiting(cloud, (await cloud.start(one.id, Kind.OPERATION_KIND_STOP)).id)
        await down(cloud, "host1", forced=False)
        assert (await cloud.settle(one.id)).vm_state == VmState.VM_STATE_STOPPED


async def test_work_goes_on_with_the_first_heartbeat_of_a_host_that_was_silent(sqlite: str) -> None:
    async with cloud_at(sqlite, ("host1",), replace(OPTIONS, max_retry_interval=600)) as cloud:
        [one] = await cloud.active()
        await silent(cloud, "host1")
        await waiting(cloud, (await cloud.start(one.id, Kind.OPERATION_KIND_STOP)).id)
        compute = HostServiceStub((await cloud.node.peer("compute", "host1")).channel("conductor"))
        await compute.ReportHost(ReportHostRequest(name="host1", disk_available_gb=90))
        assert (await cloud.settle(one.id)).vm_state == VmState.VM_STATE_STOPPED


async def test_claims_are_tried_until_other_conductors_must_have_been_heard_of(sqlite: str) -> None:
    """The scheduler follows one conductor, and learns only so often of what another has claimed and freed."""
    async with cloud_at(sqlite, ("host1",), replace(OPTIONS, poll_interval=0.4)) as cloud:
        whole = hosts.Size(128, 0, 0)
        assert await cloud.database.write(lambda c: hosts.claim(c, "host1", whole))
        [made] = await cloud.create()
        await asyncio.sleep(0.5)
        await cloud.database.write(lambda c: hosts.release(c, "host1", whole))
        assert (await cloud.settle(made.id)).vm_state == ACTIVE

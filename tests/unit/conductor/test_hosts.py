"""Hosts: registered by themselves alone, changed by administrators, watched by schedulers."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from db import hosts
from db.schema.base import now
from novamesh.conductor.v1.host_service_pb2 import (
    DeleteHostRequest,
    GetHostRequest,
    ListHostsRequest,
    RegisterHostRequest,
    ReportHostRequest,
    UpdateHostRequest,
    WatchHostsRequest,
    WatchHostsResponse,
)
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.conductor.v1.instance_service_pb2 import InstanceFilter, WatchInstancesRequest
from novamesh.conductor.v1.node_service_pb2 import (
    DeleteNodeRequest,
    ListNodesRequest,
    ReportNodeRequest,
)
from novamesh.conductor.v1.node_service_pb2_grpc import NodeServiceStub
from novamesh.conductor.v1.operation_service_pb2 import ReportProgressRequest, WatchOperationsRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.failures import (
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
)
from novamesh.types.v1.host_pb2 import Host, HostInventory
from novamesh.types.v1.instance_pb2 import TaskState, VmState
from services.conductor.role import ConductorRole
from tests.unit.conductor.fakes import OPTIONS, Cloud, cloud_at, database_at


@pytest.fixture
async def cloud(sqlite: str) -> AsyncIterator[Cloud]:
    async with cloud_at(sqlite) as made:
        yield made


def stub(cloud: Cloud) -> Any:
    return HostServiceStub(cloud.node.channel("conductor"))


class Watcher:
    """Follows a stream, and remembers all it said."""

    def __init__(self, stream: AsyncIterable[Any]) -> None:
        self.said: list[Any] = []
        self._task = asyncio.create_task(self._follow(stream))

    async def _follow(self, stream: AsyncIterable[Any]) -> None:
        async for one in stream:
            self.said.append(one)

    async def until(self, what: Any) -> Any:
        """The first thing said for which `what` holds."""
        async with asyncio.timeout(10):
            while True:
                for one in self.said:
                    if what(one):
                        return one
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def watch(cloud: Cloud, revision: int = 0) -> Watcher:
    peer = await cloud.node.peer("scheduler")
    stream = HostServiceStub(peer.channel("conductor")).WatchHosts(WatchHostsRequest(revision=revision))
    return Watcher(stream)


async def test_a_watcher_sees_everything_then_what_changes(cloud: Cloud) -> None:
    watcher = await watch(cloud)
    snapshot = await watcher.until(lambda one: one.snapshot_end)
    assert [host.name for one in watcher.said for host in one.hosts] == ["host1", "host2"]
    [one] = await cloud.active()
    claimed: WatchHostsResponse = await watcher.until(lambda one: any(h.usage.instances for h in one.hosts))
    assert claimed.revision > snapshot.revision
    # The look for other conductors' writes may tell of a host once more: what counts is what is said of each.
    assert [host.name for host in claimed.hosts if host.usage.instances] == [one.host]
    await cloud.delete(one.id)
    await watcher.until(lambda one: one is not claimed and one.revision > claimed.revision)
    # Who has seen all so far is sent changes, and no snapshot again.
    later = await watch(cloud, watcher.said[-1].revision)
    await stub(cloud).UpdateHost(UpdateHostRequest(host=Host(name="host2"), update_mask=["enabled"]))
    await later.until(lambda one: any(host.name == "host2" and not host.enabled for host in one.hosts))
    assert not any(one.snapshot_end for one in later.said)
    # A revision that this conductor never gave is answered with everything.
    stranger = await watch(cloud, 4711)
    await stranger.until(lambda one: one.snapshot_end)
    for each in (watcher, later, stranger):
        await each.stop()


async def test_what_another_conductor_writes_is_seen_too(url: str) -> None:
    async with cloud_at(url) as cloud, database_at(url) as database:
        watcher = await watch(cloud)
        await watcher.until(lambda one: one.snapshot_end)
        other = ConductorRole(await cloud.node.peer("conductor", "host9"), OPTIONS, database)
        request = RegisterHostRequest(name="host3", inventory=HostInventory(vcpus=1))
        await database.write(lambda c: hosts.register(c, request, "nova", now()))
        await watcher.until(lambda one: any(host.name == "host3" for host in one.hosts))
        await database.write(lambda c: hosts.remove(c, "host3"))
        await watcher.until(lambda one: "host3" in one.removed)
        await watcher.stop()
        await other.stop()


async def test_a_host_that_falls_silent_is_down(sqlite: str) -> None:
    async with cloud_at(sqlite, options=replace(OPTIONS, service_down_time=5)) as cloud:
        watcher = await watch(cloud)
        await watcher.until(lambda one: one.snapshot_end)
        silent = hosts.Heartbeat("host1", now() - timedelta(seconds=6), 90, "")
        await cloud.database.write(lambda c: hosts.report(c, [silent]))
        await watcher.until(lambda one: any(h.name == "host1" and not h.up for h in one.hosts))
        compute = HostServiceStub((await cloud.node.peer("compute", "host1")).channel("conductor"))
        await compute.ReportHost(ReportHostRequest(name="host1", disk_available_gb=7))
        await watcher.until(lambda one: any(h.up and h.inventory.disk_available_gb == 7 for h in one.hosts))
        await watcher.stop()


async def test_a_host_speaks_for_itself_alone(cloud: Cloud) -> None:
    compute = HostServiceStub((await cloud.node.peer("compute", "host1")).channel("conductor"))
    with pytest.raises(PermissionDeniedError):
        await compute.RegisterHost(RegisterHostRequest(name="host2"))
    with pytest.raises(PermissionDeniedError):
        await compute.ReportHost(ReportHostRequest(name="host2"))
    stranger = HostServiceStub((await cloud.node.peer("compute", "host9")).channel("conductor"))
    with pytest.raises(NotFoundError):
        await stranger.ReportHost(ReportHostRequest(name="host9"))


async def test_what_an_administrator_sets_stays(cloud: Cloud) -> None:
    before = (await stub(cloud).GetHost(GetHostRequest(name="host1"))).host
    assert before.availability_zone == "nova"
    wanted = Host(name="host1", generation=before.generation, ram_allocation_ratio=1.0)
    mask = ["ram_allocation_ratio"]
    changed = (await stub(cloud).UpdateHost(UpdateHostRequest(host=wanted, update_mask=mask))).host
    assert changed.ram_allocation_ratio == 1.0
    with pytest.raises(GenerationConflictError):
        await stub(cloud).UpdateHost(UpdateHostRequest(host=wanted, update_mask=mask))
    for field in ("usage", "availability_zone"):
        with pytest.raises(InvalidArgumentError):
            await stub(cloud).UpdateHost(UpdateHostRequest(host=Host(name="host1"), update_mask=[field]))
    compute = HostServiceStub((await cloud.node.peer("compute", "host1")).channel("conductor"))
    again = RegisterHostRequest(
        name="host1", availability_zone="west", ram_allocation_ratio=2.0, inventory=HostInventory(vcpus=3)
    )
    host = (await compute.RegisterHost(again)).host
    assert (host.availability_zone, host.ram_allocation_ratio, host.inventory.vcpus) == ("nova", 1.0, 3)


async def test_a_disabled_host_is_not_claimed(cloud: Cloud) -> None:
    await stub(cloud).UpdateHost(UpdateHostRequest(host=Host(name="host1"), update_mask=["enabled"]))
    done = [(await cloud.active())[0].host for _ in range(3)]
    assert set(done) == {"host2"}


async def test_a_host_with_instances_is_not_removed(cloud: Cloud) -> None:
    [one] = await cloud.active()
    with pytest.raises(InvalidArgumentError, match="still has 1 instances"):
        await stub(cloud).DeleteHost(DeleteHostRequest(name=one.host))
    await cloud.delete(one.id)
    await cloud.settle(one.id)
    await stub(cloud).DeleteHost(DeleteHostRequest(name=one.host))
    left = (await stub(cloud).ListHosts(ListHostsRequest())).hosts
    assert one.host not in [host.name for host in left]
    found = (await stub(cloud).GetHost(GetHostRequest(id=left[0].id))).host
    assert found.name == left[0].name


async def test_roles_are_listed_while_they_report(cloud: Cloud) -> None:
    nodes: Any = NodeServiceStub(cloud.node.channel("conductor"))
    scheduler = NodeServiceStub((await cloud.node.peer("scheduler", "host5")).channel("conductor"))
    await scheduler.ReportNode(ReportNodeRequest(role="scheduler", host="host5", address="x:1", version="1"))
    with pytest.raises(PermissionDeniedError):
        await scheduler.ReportNode(ReportNodeRequest(role="scheduler", host="host6"))
    listed = (await nodes.ListNodes(ListNodesRequest())).nodes
    assert {(one.role, one.host, one.up) for one in listed} == {
        ("conductor", "host1", True),
        ("scheduler", "host5", True),
    }
    await nodes.DeleteNode(DeleteNodeRequest(id=next(one.id for one in listed if one.host == "host5")))
    assert len((await nodes.ListNodes(ListNodesRequest())).nodes) == 1


async def test_instances_and_operations_are_watched(cloud: Cloud) -> None:
    [first] = await cloud.active()
    instances = Watcher(
        cloud.instances.WatchInstances(WatchInstancesRequest(filter=InstanceFilter(project_id="project-1")))
    )
    operations = Watcher(cloud.operations.WatchOperations(WatchOperationsRequest()))
    await instances.until(lambda one: one.snapshot_end)
    await operations.until(lambda one: one.snapshot_end)
    assert instances.said[0].instance.id == first.id
    gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
    [made] = await cloud.create()
    spawning = await instances.until(
        lambda one: one.instance.id == made.id and one.instance.task_state == TaskState.TASK_STATE_SPAWNING
    )
    assert spawning.instance.interfaces[0].address
    running = await operations.until(lambda one: one.operation.instance_id == made.id)
    compute = OperationServiceStub((await cloud.node.peer("compute", "host1")).channel("conductor"))
    await cloud.computes["host1"].entered.wait()
    await compute.ReportProgress(
        ReportProgressRequest(id=running.operation.id, step="downloading image", progress=40)
    )
    await operations.until(lambda one: one.operation.step == "downloading image")
    stranger = OperationServiceStub((await cloud.node.peer("compute", "host2")).channel("conductor"))
    with pytest.raises(NotFoundError):
        await stranger.ReportProgress(ReportProgressRequest(id=running.operation.id, step="lies"))
    gate.set()
    await instances.until(
        lambda one: one.instance.id == made.id and one.instance.vm_state == VmState.VM_STATE_ACTIVE
    )
    await operations.until(lambda one: one.operation.instance_id == made.id and one.operation.state == 3)
    await cloud.delete(made.id)
    await instances.until(lambda one: one.instance.vm_state == VmState.VM_STATE_DELETED)
    await instances.stop()
    await operations.stop()

"""The scheduler follows the conductor's hosts, through interruptions."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from novamesh.conductor.v1 import host_service_pb2
from novamesh.conductor.v1.host_service_pb2 import WatchHostsRequest, WatchHostsResponse
from novamesh.failures import InvalidArgumentError, PermissionDeniedError, UnavailableError
from novamesh.scheduler.v1.destination_service_pb2 import SelectDestinationsRequest
from novamesh.scheduler.v1.destination_service_pb2_grpc import DestinationServiceStub
from novamesh.types.v1.host_pb2 import Host
from services.mesh import Binding, Call
from services.mesh.testing import ServiceRole, local_node
from services.scheduler import SchedulerOptions, SchedulerRole
from services.scheduler import destinations as scheduler_destinations
from tests.unit.scheduler_hosts import host, spec


class Hosts:
    """A conductor's WatchHosts whose stream a test writes and breaks."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.stream: asyncio.Queue[WatchHostsResponse | UnavailableError] = asyncio.Queue()

    async def WatchHosts(self, request: WatchHostsRequest, call: Call) -> AsyncIterator[WatchHostsResponse]:
        self.asked.append(request.revision)
        while True:
            message = await self.stream.get()
            if isinstance(message, UnavailableError):
                raise message
            yield message

    def send(self, revision: int, *hosts: Host, removed: tuple[str, ...] = (), end: bool = False) -> None:
        self.stream.put_nowait(
            WatchHostsResponse(revision=revision, hosts=hosts, removed=removed, snapshot_end=end)
        )

    def break_off(self) -> None:
        self.stream.put_nowait(UnavailableError("conductor", "gone"))

    def role(self) -> ServiceRole:
        service = host_service_pb2.DESCRIPTOR.services_by_name["HostService"]
        return ServiceRole("conductor", [Binding(service, self)])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens elsewhere in this process."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_snapshot_changes_and_resumption() -> None:
    conductor = Hosts()
    async with local_node(conductor.role(), identity="conductor") as node:
        peer = await node.peer("scheduler")
        role = SchedulerRole(peer, SchedulerOptions(seed=1))
        await peer.add(role)

        def names() -> list[str]:
            return sorted(role.hosts.names)

        conductor.send(3, host("a"))
        conductor.send(3, host("b"), end=True)
        await until(lambda: names() == ["a", "b"])
        conductor.send(4, host("c"), removed=("a",))
        await until(lambda: names() == ["b", "c"])

        conductor.break_off()
        await until(lambda: len(conductor.asked) == 2)
        assert conductor.asked == [0, 4]
        conductor.send(5, host("d"))
        await until(lambda: names() == ["b", "c", "d"])

        # The conductor remembers too little to resume, and begins anew.
        conductor.break_off()
        await until(lambda: len(conductor.asked) == 3)
        # Nothing said that what came after the first break wasn't a part of a snapshot.
        assert conductor.asked == [0, 4, 0]
        conductor.send(9, host("b"), host("e"), end=True)
        await until(lambda: names() == ["b", "e"])

        # It begins anew in the middle of a stream, when there was too much to remember.
        conductor.send(10, host("f"))
        await until(lambda: names() == ["b", "e", "f"])
        conductor.send(99, host("b"))
        conductor.send(99, host("g"), removed=("f",), end=True)
        await until(lambda: names() == ["b", "g"])


async def test_requests_wait_for_the_first_picture_and_then_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conductor = Hosts()
    async with local_node(conductor.role(), identity="conductor") as node:
        peer = await node.peer("scheduler")
        await peer.add(SchedulerRole(peer, SchedulerOptions()))
        stub = DestinationServiceStub(node.channel("scheduler"))
        request = SelectDestinationsRequest(spec=spec("i1"))
        monkeypatch.setattr(scheduler_destinations, "PATIENCE", 0.01)
        with pytest.raises(UnavailableError, match="no picture of the hosts"):
            await stub.SelectDestinations(request)
        monkeypatch.undo()
        waiting = asyncio.ensure_future(stub.SelectDestinations(request))
        conductor.send(1, host("a"), end=True)
        answer = await waiting
        assert [list(d.hosts) for d in answer.destinations] == [["a"]]


async def test_over_the_wire_with_policy_and_checks() -> None:
    conductor = Hosts()
    conductor.send(1, host("a"), host("b"), end=True)
    async with local_node(conductor.role(), identity="conductor", wire=True) as node:
        peer = await node.peer("scheduler")
        await peer.add(SchedulerRole(peer, SchedulerOptions()))
        stub = DestinationServiceStub(node.channel("scheduler"))
        answer = await stub.SelectDestinations(SelectDestinationsRequest(spec=spec("i1", "i2"), alternates=1))
        assert [len(d.hosts) for d in answer.destinations] == [2, 2]
        assert answer.destinations[0].hosts[0] != answer.destinations[1].hosts[0]
        with pytest.raises(InvalidArgumentError):
            await stub.SelectDestinations(SelectDestinationsRequest())
        gateway = await node.peer("gateway")
        with pytest.raises(PermissionDeniedError):
            await DestinationServiceStub(gateway.channel("scheduler")).SelectDestinations(
                SelectDestinationsRequest(spec=spec("i1"))
            )


async def test_options_that_name_no_filter_are_refused() -> None:
    async with local_node() as node:
        with pytest.raises(ValueError, match="enabled_filters names 'NoFilter'"):
            SchedulerRole(node, SchedulerOptions(enabled_filters=("NoFilter",)))
        with pytest.raises(ValueError, match="weight_classes"):
            SchedulerRole(node, SchedulerOptions(weight_classes=("NoWeigher",)))


def test_options_that_can_not_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="host_subset_size must be 1 or more"):
        SchedulerOptions(host_subset_size=0)

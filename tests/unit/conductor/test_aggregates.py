"""Aggregates: their records, and the zones that follow for hosts, however many ask at once."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from db import aggregates, hosts, migrate
from db.schema.base import now
from novamesh.compute.v1 import host_service_pb2 as compute_hosts
from novamesh.conductor.v1 import aggregate_service_pb2 as pb
from novamesh.conductor.v1.aggregate_service_pb2_grpc import AggregateServiceStub
from novamesh.conductor.v1.host_service_pb2 import (
    DeleteHostRequest,
    GetHostRequest,
    RegisterHostRequest,
    UpdateHostRequest,
    WatchHostsRequest,
)
from novamesh.conductor.v1.host_service_pb2_grpc import HostServiceStub
from novamesh.failures import (
    AlreadyExistsError,
    Failure,
    GenerationConflictError,
    InvalidArgumentError,
    NotFoundError,
)
from novamesh.types.v1.aggregate_pb2 import Aggregate
from novamesh.types.v1.host_pb2 import Host, HostInventory
from services.conductor.role import ConductorRole
from services.mesh import Call
from services.mesh.testing import ServiceRole, local_node
from tests.unit.conductor.fakes import OPTIONS, binding, cloud_at, database_at, register

ZONE = "availability_zone"


class Books:
    """Aggregates and hosts of one conductor, by name, as an administrator handles them."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.aggregates: Any = AggregateServiceStub(node.channel("conductor"))
        self.hosts: Any = HostServiceStub(node.channel("conductor"))

    async def make(self, name: str, zone: str = "", **metadata: str) -> int:
        """The number of a new aggregate."""
        wanted = Aggregate(name=name, availability_zone=zone, metadata=metadata)
        answer = await self.aggregates.CreateAggregate(pb.CreateAggregateRequest(aggregate=wanted))
        return int(answer.aggregate.number)

    async def add(self, number: int, host: str) -> Aggregate:
        """Put a host in."""
        request = pb.AddAggregateHostRequest(number=number, host=host)
        answer: Aggregate = (await self.aggregates.AddAggregateHost(request)).aggregate
        return answer

    async def take(self, number: int, host: str) -> Aggregate:
        """Take a host out."""
        request = pb.RemoveAggregateHostRequest(number=number, host=host)
        answer: Aggregate = (await self.aggregates.RemoveAggregateHost(request)).aggregate
        return answer

    async def set(self, number: int, *removed: str, **metadata: str) -> Aggregate:
        """Set and remove metadata."""
        request = pb.SetAggregateMetadataRequest(number=number, metadata=metadata, removed=removed)
        answer: Aggregate = (await self.aggregates.SetAggregateMetadata(request)).aggregate
        return answer

    async def update(self, number: int, *mask: str, generation: int = 0, **values: str) -> Aggregate:
        """Change name or zone."""
        wanted = Aggregate(number=number, generation=generation, **values)  # type: ignore[arg-type]
        request = pb.UpdateAggregateRequest(aggregate=wanted, update_mask=mask)
        answer: Aggregate = (await self.aggregates.UpdateAggregate(request)).aggregate
        return answer

    async def host(self, name: str) -> Host:
        """A host as it is now."""
        answer: Host = (await self.hosts.GetHost(GetHostRequest(name=name))).host
        return answer

    async def listed(self) -> list[Aggregate]:
        """All aggregates."""
        return list((await self.aggregates.ListAggregates(pb.ListAggregatesRequest())).aggregates)


@asynccontextmanager
async def books_at(url: str, *names: str) -> AsyncIterator[Books]:
    """A conductor with hosts and nothing else."""
    async with database_at(url) as database, local_node() as node:
        conductor = await node.peer("conductor")
        await conductor.add(ConductorRole(conductor, OPTIONS, database))
        for name in names:
            await register(node, name, "127.0.0.1:1", "")
        yield Books(node)


async def test_an_aggregate_from_its_making_to_its_end(url: str) -> None:
    async with books_at(url, "host1", "host2") as books:
        number = await books.make("fast", "east", ssd="true")
        [made] = await books.listed()
        assert (made.number, made.name, made.availability_zone, dict(made.metadata)) == (
            number, "fast", "east", {"ssd": "true"},
        )  # fmt: skip
        assert len(made.id) == 36
        assert made.HasField("created_at")
        assert not made.HasField("updated_at")
        with pytest.raises(AlreadyExistsError, match="Aggregate fast already exists"):
            await books.make("fast")
        assert (await books.make("FAST")) > number
        for name in ("", " ", "x" * 256):
            with pytest.raises(InvalidArgumentError):
                await books.make(name)
        assert list((await books.add(number, "host2")).hosts) == ["host2"]
        assert list((await books.add(number, "host1")).hosts) == ["host2", "host1"]
        with pytest.raises(AlreadyExistsError, match="already has host host1"):
            await books.add(number, "host1")
        with pytest.raises(NotFoundError, match="Compute host absent could not be found"):
            await books.add(number, "absent")
        with pytest.raises(NotFoundError, match="Aggregate 4711 could not be found"):
            await books.add(4711, "host1")
        with pytest.raises(InvalidArgumentError, match="not empty"):
            await books.aggregates.DeleteAggregate(pb.DeleteAggregateRequest(number=number))
        changed = await books.set(number, "ssd", "absent", gpu="false")
        assert (dict(changed.metadata), changed.availability_zone) == ({"gpu": "false"}, "east")
        assert changed.HasField("updated_at")
        renamed = await books.update(number, "name", name="quick")
        assert (renamed.name, renamed.availability_zone) == ("quick", "east")
        with pytest.raises(AlreadyExistsError):
            await books.update(number, "name", name="FAST")
        with pytest.raises(GenerationConflictError):
            await books.update(number, "name", name="slow", generation=1)
        with pytest.raises(InvalidArgumentError):
            await books.update(number, "hosts")
        for host in ("host1", "host2"):
            await books.take(number, host)
        with pytest.raises(NotFoundError, match="has no host host1"):
            await books.take(number, "host1")
        await books.aggregates.DeleteAggregate(pb.DeleteAggregateRequest(number=number))
        for gone in (books.aggregates.GetAggregate(pb.GetAggregateRequest(number=number)), books.set(number)):
            with pytest.raises(NotFoundError):
                await gone


async def test_a_host_s_zone_and_metadata_follow_its_aggregates(url: str) -> None:
    async with books_at(url, "host1", "host2") as books:
        plain = await books.make("plain", ssd="true", rack="1")
        other = await books.make("other", ssd="false", rack="1")
        east = await books.make("east", "east")
        before = await books.host("host1")
        assert (before.availability_zone, dict(before.aggregate_metadata)) == ("nova", {})
        for number in (plain, other, east):
            await books.add(number, "host1")
        host = await books.host("host1")
        assert host.availability_zone == "east"
        assert dict(host.aggregate_metadata) == {"ssd": "true,false", "rack": "1", ZONE: "east"}
        assert host.generation > before.generation
        # Registered anew, as after a restart of the host: its aggregates stay.
        await register(books.node, "host1", "127.0.0.1:2", "")
        assert (await books.host("host1")).availability_zone == "east"
        # An aggregate that becomes a zone, by either way.
        await books.set(other, **{ZONE: "east"})
        await books.take(east, "host1")
        assert (await books.host("host1")).availability_zone == "east"
        await books.update(other, ZONE, availability_zone="west")
        assert (await books.host("host1")).availability_zone == "west"
        await books.take(other, "host1")
        host = await books.host("host1")
        assert (host.availability_zone, dict(host.aggregate_metadata)) == (
            "nova",
            {"ssd": "true", "rack": "1"},
        )
        assert (await books.host("host2")).availability_zone == "nova"
        await books.hosts.DeleteHost(DeleteHostRequest(name="host1"))
        assert [list(one.hosts) for one in await books.listed()] == [[], [], []]


async def test_a_host_in_two_zones_is_refused(url: str) -> None:
    async with books_at(url, "host1", "host2") as books:
        east, west, plain = [await books.make(*one) for one in (("e", "east"), ("w", "west"), ("p",))]
        await books.add(east, "host1")
        await books.add(plain, "host1")
        with pytest.raises(InvalidArgumentError, match=r"already in availability zone\(s\) \['east'\]"):
            await books.add(west, "host1")
        for refused in (
            books.set(plain, **{ZONE: "west"}),
            books.update(plain, ZONE, availability_zone="west"),
        ):
            with pytest.raises(InvalidArgumentError, match=r"\['east'\]"):
                await refused
        for refused in (books.set(east, ZONE), books.set(east, **{ZONE: ""}), books.update(east, ZONE)):
            with pytest.raises(InvalidArgumentError, match="empty named availability zone"):
                await refused
        again = await books.make("e2", "east")
        await books.add(again, "host1")
        assert (await books.host("host1")).availability_zone == "east"


async def test_no_host_is_ever_in_two_zones(url: str) -> None:
    """Many clients at once, none of whom knows of the others."""
    names = ["host1", "host2", "host3"]
    async with books_at(url, *names) as books:
        numbers = [await books.make(f"zone{i}", f"zone{i}") for i in range(4)] + [await books.make("plain")]
        watched: list[Host] = []
        dice = random.Random(7)

        async def watch() -> None:
            peer = await books.node.peer("scheduler")
            async for one in HostServiceStub(peer.channel("conductor")).WatchHosts(WatchHostsRequest()):
                watched.extend(one.hosts)

        async def client() -> None:
            for _ in range(12):
                number, host, zone = dice.choice(numbers), dice.choice(names), f"zone{dice.randrange(4)}"
                step = dice.randrange(6)
                try:
                    if step < 4:
                        await books.add(number, host)
                    elif step == 4:
                        await books.take(number, host)
                    else:
                        await books.set(number, **{ZONE: zone})
                except Failure as failure:
                    assert not failure.transient, failure.message

        watcher = asyncio.create_task(watch())
        for _ in range(4):
            await asyncio.gather(*(client() for _ in range(6)))
            for name in names:
                zones = {one.availability_zone for one in await books.listed() if name in one.hosts} - {""}
                assert len(zones) <= 1
                assert (await books.host(name)).availability_zone == next(iter(zones), "nova")
        async with asyncio.timeout(10):
            truth = {name: (await books.host(name)).generation for name in names}
            while not all(any((h.name, h.generation) == pair for h in watched) for pair in truth.items()):
                await asyncio.sleep(0.01)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
        assert all(ZONE not in h.aggregate_metadata or "," not in h.aggregate_metadata[ZONE] for h in watched)


async def test_instances_keep_their_host_in_its_zone(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        books = Books(cloud.node)
        east, nova, plain = [await books.make(*one) for one in (("e", "east"), ("n", "nova"), ("p",))]
        [one] = await cloud.active()
        assert one.availability_zone == "nova"
        with pytest.raises(InvalidArgumentError, match="contain instances"):
            await books.add(east, one.host)
        # What doesn't move anybody is as free as ever.
        await books.add(plain, one.host)
        await books.add(nova, one.host)
        await books.take(nova, one.host)
        await books.set(plain, fast="yes")
        for refused in (
            books.set(plain, **{ZONE: "east"}),
            books.update(plain, ZONE, availability_zone="nova"),
        ):
            with pytest.raises(
                InvalidArgumentError, match="One or more hosts contain instances in this zone"
            ):
                await refused
        other = next(name for name in cloud.computes if name != one.host)
        await books.add(east, other)
        cloud.scheduler.names = [other]
        [two] = await cloud.active()
        assert (two.host, two.availability_zone) == (other, "east")
        with pytest.raises(InvalidArgumentError, match="would move to another availability zone"):
            await books.take(east, other)
        await cloud.delete(two.id)
        async with asyncio.timeout(10):
            while (await books.host(other)).usage.instances:
                await asyncio.sleep(0.005)
        assert list((await books.take(east, other)).hosts) == []


async def test_a_claim_for_a_zone_that_has_moved_is_refused(url: str) -> None:
    async with database_at(url) as database:
        request = RegisterHostRequest(
            name="h", inventory=HostInventory(vcpus=8, memory_mb=8192, disk_gb=80), cpu_allocation_ratio=1
        )
        await database.write(lambda c: hosts.register(c, request, "nova", now()))
        size = hosts.Size(1, 512, 1)
        assert await database.write(lambda c: hosts.claim(c, "h", size, "nova"))
        assert not await database.write(lambda c: hosts.claim(c, "h", size, "east"))
        assert await database.write(lambda c: hosts.claim(c, "h", size))
        await database.write(lambda c: aggregates.set_default_zone(c, "east"))
        assert await database.write(lambda c: hosts.claim(c, "h", size, "east"))


async def test_another_default_zone_takes_hosts_along_that_have_no_other(url: str) -> None:
    async with books_at(url, "host1", "host2") as books:
        await books.add(await books.make("west", "west"), "host2")
        async with database_at(url) as database:
            options = replace(OPTIONS, default_availability_zone="home")
            peer = await books.node.peer("conductor", "host9")
            role = ConductorRole(peer, options, database)
            await role.start()
            assert (await books.host("host1")).availability_zone == "home"
            assert (await books.host("host2")).availability_zone == "west"
            await role.stop()


async def test_the_work_under_way_on_a_host_is_counted(sqlite: str) -> None:
    async with cloud_at(sqlite, hosts=("host1",)) as cloud:
        books = Books(cloud.node)
        watched: list[Host] = []

        async def watch() -> None:
            peer = await cloud.node.peer("scheduler")
            async for one in HostServiceStub(peer.channel("conductor")).WatchHosts(WatchHostsRequest()):
                watched.extend(one.hosts)

        async def heard(workload: int) -> None:
            async with asyncio.timeout(10):
                while not watched or watched[-1].usage.workload != workload:
                    await asyncio.sleep(0.005)

        watcher = asyncio.create_task(watch())
        gate = cloud.computes["host1"].gates["build"] = asyncio.Event()
        made = await cloud.create(2)
        await cloud.computes["host1"].entered.wait()
        assert (await books.host("host1")).usage.workload == 2
        await heard(2)
        gate.set()
        for one in made:
            await cloud.settle(one.id)
        assert (await books.host("host1")).usage.workload == 0
        # An end of work is no claim: watchers hear of it all the same.
        await heard(0)
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


class CachingCompute:
    """Remembers what it was asked to cache."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.failure: Failure | None = None

    async def CacheImages(
        self, request: compute_hosts.CacheImagesRequest, call: Call
    ) -> compute_hosts.CacheImagesResponse:
        self.asked.append(list(request.image_ids))
        if self.failure is not None:
            raise self.failure
        return compute_hosts.CacheImagesResponse(
            outcomes=dict.fromkeys(request.image_ids, compute_hosts.CACHE_OUTCOME_CACHED)
        )


async def test_images_are_cached_on_every_host_that_is_up(sqlite: str) -> None:
    async with books_at(sqlite, "down") as books:
        number = await books.make("a")
        await books.add(number, "down")
        # Declared down: nobody asks it.
        down = Host(name="down", forced_down=True)
        await books.hosts.UpdateHost(UpdateHostRequest(host=down, update_mask=["forced_down"]))
        computes = {name: CachingCompute() for name in ("host1", "host2", "host3")}
        computes["host2"].failure = NotFoundError("image", "x")
        for name, compute in computes.items():
            role = ServiceRole("compute", [binding(compute_hosts, "HostService", compute)])
            await register(books.node, name, await books.node.serve(role, name), "")
            if name != "host3":
                await books.add(number, name)
        request = pb.CacheAggregateImagesRequest(number=number, image_ids=["x", "y"])
        await books.aggregates.CacheAggregateImages(request)
        async with asyncio.timeout(10):
            while not all(computes[name].asked for name in ("host1", "host2")):
                await asyncio.sleep(0.005)
        assert [compute.asked for compute in computes.values()] == [[["x", "y"]], [["x", "y"]], []]
        with pytest.raises(NotFoundError):
            await books.aggregates.CacheAggregateImages(pb.CacheAggregateImagesRequest(number=4711))


def test_zones_that_hosts_had_named_themselves_become_aggregates(url: str) -> None:
    """A database of before there were aggregates."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        command.upgrade(migrate._config(connection), "0004")
        table = sa.Table("hosts", sa.MetaData(), autoload_with=connection)
        for number, zone in enumerate(("nova", "east", "west", "east"), 1):
            row: dict[str, Any] = {}
            for column in table.columns:
                kind = column.type.python_type
                row[column.name] = now() if kind.__name__ == "datetime" else kind()
            row |= {"number": number, "id": str(number), "name": f"h{number}", ZONE: zone}
            connection.execute(table.insert(), row)
        connection.commit()
    engine.dispose()
    migrate.upgrade(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        made = {one.name: (one.availability_zone, list(one.hosts)) for one in aggregates.everyone(connection)}
        assert made == {"east": ("east", ["h2", "h4"]), "west": ("west", ["h3"])}
        found = {one.name: one for one in hosts.everyone(connection, now())}
        assert [found[f"h{i}"].availability_zone for i in range(1, 5)] == ["nova", "east", "west", "east"]
        assert dict(found["h4"].aggregate_metadata) == {ZONE: "east"}
        assert dict(found["h1"].aggregate_metadata) == {}
        assert aggregates.add(connection, Aggregate(name="next"), now()).number > 2
        connection.rollback()
    engine.dispose()

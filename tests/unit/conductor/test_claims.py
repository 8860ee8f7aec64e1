"""Claims under concurrency: no host is oversold, no address is on two cards, whatever comes together."""

import asyncio
import random
import uuid
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from db import addresses, hosts, instances, interfaces, networks, operations
from db.database import Database
from db.operations import Lease
from db.schema.base import moment, now, timestamp
from db.schema.compute import hosts as host_table
from db.schema.compute import instances as instance_table
from db.schema.networks import TAKEN, fixed_ips
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.failures import ResourceExhaustedError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.network_pb2 import Network
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from services.conductor import claims, endings, states
from services.conductor.claims import Claim, Claimed
from services.conductor.networks import complete
from tests.unit.conductor.conftest import make_url
from tests.unit.conductor.fakes import database_at

HOSTS = ("h1", "h2", "h3")
FLAVORS = [
    Flavor(id="s", vcpus=1, memory_mb=512, root_gb=1),
    Flavor(id="m", vcpus=2, memory_mb=1024, root_gb=2, swap_mb=1),
    Flavor(id="l", vcpus=4, memory_mb=2048, root_gb=5, ephemeral_gb=3),
]
OWNER = "conductor-1"


async def furnish(database: Database, cidr: str = "10.1.0.0/28") -> Network:
    """Three hosts, and a network with few addresses."""

    def work(connection: Connection) -> Network:
        at = now()
        for name in HOSTS:
            inventory = HostInventory(vcpus=8, memory_mb=4096, disk_gb=20, hypervisor_hostname=name)
            request = RegisterHostRequest(name=name, inventory=inventory, reserved_host_memory_mb=512)
            hosts.register(connection, request, "nova", at)
        network, kept = complete(Network(label="private", cidr=cidr))
        return networks.add(connection, network, kept, at)

    return await database.write(work)


async def accept(database: Database, flavor: Flavor, owner: str = OWNER) -> tuple[str, str]:
    """An instance that waits for a host: its operation's id and its own."""

    def work(connection: Connection) -> tuple[str, str]:
        at = now()
        instance = instances.add(
            connection,
            Instance(
                id=str(uuid.uuid4()),
                vm_state=states.BUILDING,
                flavor=flavor,
                created_at=timestamp(at),
                updated_at=timestamp(at),
            ),
        )
        operation = Operation(
            id=str(uuid.uuid4()),
            kind=OperationKind.OPERATION_KIND_CREATE,
            instance_id=instance.id,
            request_id=str(uuid.uuid4()),
        )
        operations.add(connection, operation, at, Lease(owner, at))
        return operation.id, instance.id

    return await database.write(work)


async def check_invariants(database: Database) -> None:
    """What must hold after any history."""

    def work(connection: Connection) -> None:
        there = [
            instances.parse(row.number, row.body)
            for row in connection.execute(select(instance_table.c.number, instance_table.c.body))
        ]
        alive = [one for one in there if one.vm_state != states.DELETED and one.host]
        for row in connection.execute(select(host_table)):
            assert row.vcpus_used <= row.vcpus_limit
            assert row.memory_mb_used <= row.memory_mb_limit
            assert row.disk_gb_used <= row.disk_gb_limit
            sizes = [hosts.Size.of(one.flavor) for one in alive if one.host == row.name]
            assert row.instances == len(sizes)
            assert row.vcpus_used == row.reserved_vcpus + sum(size.vcpus for size in sizes)
            assert row.memory_mb_used == row.reserved_memory_mb + sum(size.memory_mb for size in sizes)
            assert row.disk_gb_used == row.reserved_disk_gb + sum(size.disk_gb for size in sizes)
        cards = interfaces.of_host(connection, "")
        assert all(count == 1 for count in Counter(card.address for card in cards).values())
        assert all(count == 1 for count in Counter(card.mac_address for card in cards).values())
        taken = connection.execute(
            select(fixed_ips.c.address, fixed_ips.c.instance_id).where(fixed_ips.c.state == TAKEN)
        )
        assert {tuple(row) for row in taken} == {(card.address, card.instance_id) for card in cards}
        assert {card.instance_id for card in cards} == {one.id for one in alive}
        assert all(card.host == next(o.host for o in alive if o.id == card.instance_id) for card in cards)

    await database.read(work)


async def churn(database: Database, network: Network, flavors: list[Flavor], seed: int) -> int:
    """Claim for all at once, in batches and orders of chance, deleting now and then. Returns how many got a
    place."""
    chance = random.Random(seed)
    accepted = [await accept(database, flavor) for flavor in flavors]
    placed = 0

    async def batch(some: list[tuple[str, str]]) -> None:
        nonlocal placed
        wanted = [
            Claim(
                op, one, chance.sample(HOSTS, chance.randint(1, 3)), [{"network": network.id, "address": ""}]
            )
            for op, one in some
        ]
        await asyncio.sleep(chance.random() / 1000)
        done: Claimed = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))
        placed += len(done.placed)
        assert done.placed.keys() | set(done.refused) | done.failed.keys() == {one for _, one in some}
        assert all(isinstance(failure, ResourceExhaustedError) for failure in done.failed.values())
        for instance, host in done.placed.values():
            assert instance.host == host.name
            assert instance.interfaces[0].address
            if chance.random() < 0.3:
                await bury(database, instance.id)

    chance.shuffle(accepted)
    batches = []
    while accepted:
        size = chance.randint(1, 4)
        batches.append(accepted[:size])
        accepted = accepted[size:]
    await asyncio.gather(*(batch(some) for some in batches))
    return placed


async def bury(database: Database, instance_id: str) -> None:
    def work(connection: Connection) -> None:
        instance = instances.lock(connection, instance_id)
        endings.bury(connection, instance, now())
        instances.save(connection, instance, now())

    await database.write(work)


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],
)
@given(st.lists(st.sampled_from(FLAVORS), min_size=1, max_size=24), st.integers(0, 1 << 30))
def test_nothing_is_oversold_whatever_the_order(flavors: list[Flavor], seed: int) -> None:
    async def run(folder: str) -> None:
        async with database_at(make_url("sqlite", Path(folder))) as database:
            network = await furnish(database)
            await churn(database, network, flavors, seed)
            await check_invariants(database)

    with TemporaryDirectory() as folder:
        asyncio.run(run(folder))


@pytest.mark.parametrize("seed", [1, 2])
async def test_nothing_is_oversold_by_conductors_that_claim_at_once(url: str, seed: int) -> None:
    async with database_at(url) as database:
        network = await furnish(database)
        placed = await churn(database, network, FLAVORS * 12, seed)
        assert placed
        await check_invariants(database)


async def test_an_empty_pool_fails_only_who_comes_too_late(url: str) -> None:
    async with database_at(url) as database:
        network = await furnish(database, "10.1.0.0/29")
        # .2 to .6: five addresses.
        accepted = [await accept(database, FLAVORS[0]) for _ in range(7)]
        wanted = [Claim(op, one, HOSTS, [{"network": network.id, "address": ""}]) for op, one in accepted]
        done = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))
        assert (len(done.placed), len(done.failed)) == (5, 2)
        await check_invariants(database)


async def test_an_address_that_is_asked_for_is_given_or_refused(url: str) -> None:
    async with database_at(url) as database:
        network = await furnish(database)
        got = {}
        for address in ("10.1.0.9", "10.1.0.9", "10.1.0.1", "192.168.0.1"):
            op, one = await accept(database, FLAVORS[0])
            wanted = [Claim(op, one, HOSTS, [{"network": network.id, "address": address}])]
            done = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))  # noqa: B023
            got[one] = [i.interfaces[0].address for i, _ in done.placed.values()] or [
                failure.message for failure in done.failed.values()
            ]
        assert [value[0] for value in got.values()] == [
            "10.1.0.9",
            "The address 10.1.0.9 is in use already.",
            "10.1.0.1 is not an address that network private gives out.",
            "192.168.0.1 is not an address that network private gives out.",
        ]
        await check_invariants(database)


async def test_an_address_given_back_rests_while_others_are_free(sqlite: str) -> None:
    async with database_at(sqlite) as database:
        network = await furnish(database)
        seen = []
        for _ in range(4):
            op, one = await accept(database, FLAVORS[0])
            wanted = [Claim(op, one, HOSTS, [{"network": network.id, "address": ""}])]
            done = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))  # noqa: B023
            seen.append(done.placed[one][0].interfaces[0].address)
            await bury(database, one)
        assert len(set(seen)) == 4


async def test_a_claim_for_an_operation_of_somebody_else_is_not_made(url: str) -> None:
    async with database_at(url) as database:
        network = await furnish(database)
        op, one = await accept(database, FLAVORS[0], "another conductor")
        wanted = [Claim(op, one, HOSTS, [{"network": network.id, "address": ""}])]
        done = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))
        assert done.overtaken == [one]
        await check_invariants(database)


async def test_what_a_host_keeps_for_itself_changes_with_its_configuration(url: str) -> None:
    async with database_at(url) as database:
        await furnish(database)
        inventory = HostInventory(vcpus=8, memory_mb=4096, disk_gb=20)
        for reserved in (1024, 256):
            request = RegisterHostRequest(name="h1", inventory=inventory, reserved_host_memory_mb=reserved)
            host = await database.write(lambda c: hosts.register(c, request, "nova", now()))  # noqa: B023
            assert host.usage.memory_mb == reserved
        assert moment(host.created_at) <= moment(host.updated_at)


async def test_a_pool_is_counted_by_project(sqlite: str) -> None:
    async with database_at(sqlite) as database:
        assert await database.read(lambda c: addresses.count(c, "nobody")) == 0

"""Hard policies of server groups hold whatever claims come at once, and quotas of groups are exact."""

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from db import hosts, instances, operations, server_groups
from db.database import Database
from db.operations import Lease
from db.schema.base import now, timestamp
from novamesh.conductor.v1.host_service_pb2 import RegisterHostRequest
from novamesh.conductor.v1.server_group_service_pb2 import CreateServerGroupRequest
from novamesh.conductor.v1.server_group_service_pb2_grpc import ServerGroupServiceStub
from novamesh.failures import QuotaExceededError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from novamesh.types.v1.request_context_pb2 import RequestContext
from novamesh.types.v1.server_group_pb2 import ServerGroup
from services.conductor import claims, states
from services.conductor.claims import Claim
from services.mesh import calling_as
from tests.unit.conductor.conftest import make_url
from tests.unit.conductor.fakes import cloud_at, database_at

HOSTS = tuple(f"h{number}" for number in range(5))
OWNER = "conductor-1"


async def furnish(database: Database, policy: str, most: int) -> ServerGroup:
    """Hosts with room for everybody, and a group."""

    def work(connection: Connection) -> ServerGroup:
        for name in HOSTS:
            inventory = HostInventory(vcpus=999, memory_mb=1 << 20, disk_gb=9999)
            hosts.register(connection, RegisterHostRequest(name=name, inventory=inventory), "nova", now())
        group = ServerGroup(project_id="p", user_id="u", name="g", policy=policy, max_server_per_host=most)
        return server_groups.add(connection, group, now())

    return await database.write(work)


async def accept(database: Database, group: ServerGroup) -> Claim:
    """A member that waits for a host, and may go to any."""

    def work(connection: Connection) -> tuple[str, str]:
        at = now()
        made = instances.add(
            connection,
            Instance(
                id=str(uuid.uuid4()),
                vm_state=states.BUILDING,
                flavor=Flavor(vcpus=1, memory_mb=1),
                created_at=timestamp(at),
                updated_at=timestamp(at),
                scheduler_hints={server_groups.HINT: group.id},
            ),
        )
        server_groups.join(connection, group.id, [made.id])
        operation = Operation(
            id=str(uuid.uuid4()),
            kind=OperationKind.OPERATION_KIND_CREATE,
            instance_id=made.id,
            request_id=str(uuid.uuid4()),
        )
        operations.add(connection, operation, at, Lease(OWNER, at))
        return operation.id, made.id

    operation_id, instance_id = await database.write(work)
    return Claim(operation_id, instance_id, random.sample(HOSTS, len(HOSTS)), ())


async def claim(database: Database, wanted: Sequence[Claim]) -> int:
    """How many of these got a place."""
    done = await database.write(lambda c: claims.claim(c, OWNER, wanted, now(), now()))
    assert done.placed.keys() | set(done.refused) == {one.instance_id for one in wanted}
    return len(done.placed)


async def placed(database: Database, members: Sequence[Claim]) -> Counter[str]:
    """How many members each host has."""
    found = await database.read(lambda c: instances.get_many(c, [one.instance_id for one in members]))
    return Counter(one.host for one in found.values() if one.host)


async def crowd(database: Database, policy: str, most: int, sizes: Sequence[int]) -> None:
    """Batches of these sizes are claimed for at once; then the policy must hold."""
    group = await furnish(database, policy, most)
    batches = [[await accept(database, group) for _ in range(size)] for size in sizes]
    members = [one for batch in batches for one in batch]
    got = sum(await asyncio.gather(*(claim(database, batch) for batch in batches)))
    there = await placed(database, members)
    assert there.total() == got
    if policy == "affinity":
        assert len(there) == 1
    else:
        assert max(there.values()) <= most
        # All hosts were proposed for each, so none is left without while another has room.
        assert got == min(len(members), most * len(HOSTS))


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.reuse, Phase.generate],
)
@given(
    st.sampled_from(["affinity", "anti-affinity"]),
    st.integers(1, 3),
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
)
def test_no_claims_break_a_policy(policy: str, most: int, sizes: list[int]) -> None:
    async def run(folder: str) -> None:
        async with database_at(make_url("sqlite", Path(folder))) as database:
            await crowd(database, policy, most, sizes)

    with TemporaryDirectory() as folder:
        asyncio.run(run(folder))


@pytest.mark.parametrize(("policy", "most"), [("affinity", 1), ("anti-affinity", 1), ("anti-affinity", 2)])
async def test_no_claims_at_once_break_a_policy(url: str, policy: str, most: int) -> None:
    async with database_at(url) as database:
        await crowd(database, policy, most, [1, 2, 1, 3, 1, 2, 2])


async def test_groups_at_once_stay_within_their_quota(url: str) -> None:
    async with cloud_at(url) as cloud:
        stub = ServerGroupServiceStub(cloud.node.channel("conductor"))

        async def make() -> bool:
            wanted = CreateServerGroupRequest(server_group=ServerGroup(name="g", policy="affinity"))
            try:
                with calling_as(RequestContext(project_id="p", user_id="u")):
                    await stub.CreateServerGroup(wanted)
            except QuotaExceededError:
                return False
            return True

        assert sum(await asyncio.gather(*(make() for _ in range(20)))) == 10

"""However many creates come at once, limits are never crossed, and never stuck below."""

import asyncio
import random
import uuid

from db import flavors, instances, quotas
from db.connect import connect
from db.database import Connection, Database
from db.operations import Lease
from db.schema.base import now
from novamesh.conductor.v1.instance_service_pb2 import CreateInstancesRequest, NetworkRequest
from novamesh.conductor.v1.quota_service_pb2 import UpdateQuotasRequest
from novamesh.conductor.v1.quota_service_pb2_grpc import QuotaServiceStub
from novamesh.failures import InvalidArgumentError, NotFoundError, QuotaExceededError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import acceptance, endings
from services.conductor.acceptance import Acceptance
from services.conductor.limits import Owner
from services.conductor.options import QuotaOptions
from tests.unit.conductor.fakes import PROJECT, cloud_at, database_at, with_quota

LIMIT = 10
QUOTA = QuotaOptions(quota_instances=LIMIT, quota_cores=-1, quota_ram=-1).by_resource()


async def test_fifty_creates_at_once(url: str) -> None:
    async with cloud_at(url, options=with_quota(instances=LIMIT)) as cloud:

        async def create() -> list[Instance]:
            try:
                return await cloud.create()
            except QuotaExceededError:
                return []

        made = [one for some in await asyncio.gather(*(create() for _ in range(50))) for one in some]
        assert len(made) == LIMIT
        for one in made:
            await cloud.settle(one.id)
        gone = made[:4]
        await asyncio.gather(*(cloud.delete(one.id) for one in gone))
        for one in gone:
            await cloud.settle(one.id)
        again = [one for some in await asyncio.gather(*(create() for _ in range(50))) for one in some]
        assert len(again) == len(gone)


async def accept(database: Database, user: str, *, nowhere: bool = False) -> str | None:
    """One instance's id, or None when the quota refuses or, with `nowhere`, its network isn't there."""
    request = CreateInstancesRequest(
        request_id=str(uuid.uuid4()),
        template=Instance(display_name="x"),
        flavor_id="1",
        no_network=not nowhere,
        networks=[NetworkRequest(network_id="nowhere")] if nowhere else (),
    )
    asked = Acceptance(request, Owner("p", user), now(), Lease("o", now()), 1, QUOTA)
    try:
        done = await database.write(lambda c: acceptance.accept(c, asked))
    except (QuotaExceededError, NotFoundError):
        return None
    return done.instances[0].id


async def bury(database: Database, instance_id: str) -> None:
    """The instance is gone."""

    def work(connection: Connection) -> None:
        instance = instances.lock(connection, instance_id)
        endings.bury(connection, instance, now())
        instances.save(connection, instance, now())

    await database.write(work)


async def test_two_conductors_that_accept_and_end_at_once(url: str) -> None:
    chance = random.Random(1)
    async with database_at(url) as database:
        another = connect(url)
        flavor = Flavor(id="1", name="f", vcpus=1, memory_mb=1, is_public=True)
        await database.write(lambda c: flavors.add(c, flavor, now()))
        await database.write(lambda c: quotas.set_limits(c, "p", "narrow", {"instances": 3}))
        alive: dict[str, str] = {}

        async def churn(where: Database) -> None:
            for _ in range(12):
                user = chance.choice(("wide", "narrow"))
                made = await accept(where, user, nowhere=chance.random() < 0.2)
                if made is not None:
                    alive[made] = user
                if alive and chance.random() < 0.4:
                    ended = chance.choice(list(alive))
                    del alive[ended]
                    await bury(where, ended)
                used = await where.read(lambda c: quotas.usage(c, "p"))
                assert used.instances <= LIMIT

        try:
            await asyncio.gather(*(churn(where) for where in (database, another) * 4))
            used = await database.read(lambda c: quotas.usage(c, "p"))
            assert used == quotas.Usage(len(alive), len(alive), len(alive))
            # Not stuck below the limit.
            more = [await accept(another, "narrow") for _ in range(5)]
            narrow = list(alive.values()).count("narrow") + sum(1 for one in more if one)
            assert narrow == min(3, LIMIT - list(alive.values()).count("wide"))
            while await accept(database, "wide"):
                pass
            assert (await database.read(lambda c: quotas.usage(c, "p"))).instances == LIMIT
        finally:
            await another.close()


async def test_a_limit_that_sinks_while_creates_come(url: str) -> None:
    """The create is refused, or the lower limit is: no limit is below what is used, without force."""
    async with cloud_at(url, options=with_quota(instances=LIMIT)) as cloud:
        stub = QuotaServiceStub(cloud.node.channel("conductor"))

        async def create() -> int:
            try:
                return len(await cloud.create())
            except QuotaExceededError:
                return 0

        async def sink(limit: int) -> int:
            wanted = UpdateQuotasRequest(project_id=PROJECT, limits={"instances": limit})
            try:
                await stub.UpdateQuotas(wanted)
            except InvalidArgumentError:
                return LIMIT
            return limit

        results = await asyncio.gather(*(work for _ in range(5) for work in (create(), sink(2))))
        made, lowest = sum(results[::2]), min(results[1::2])
        assert made <= lowest

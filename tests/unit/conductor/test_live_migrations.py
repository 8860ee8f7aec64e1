"""Whose turn a live migration is, and evacuations that are over, on every database."""

import uuid
from datetime import datetime

from db import instance_migrations, instances
from db.database import Connection, Database
from db.schema.base import now, timestamp
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.conductor import live_migrations
from services.conductor.live_migrations import LIVE, PREPARING, QUEUED, RUNNING
from tests.unit.conductor.fakes import database_at

DONE = MigrationStatus.MIGRATION_STATUS_DONE
COMPLETED = MigrationStatus.MIGRATION_STATUS_COMPLETED
EVACUATION = MigrationType.MIGRATION_TYPE_EVACUATION


async def add(database: Database, source: str, status: MigrationStatus.ValueType, **fields: int) -> Migration:
    """A migration of an instance of its own."""
    at = datetime(2026, 1, 1)

    def work(connection: Connection) -> Migration:
        made = Instance(
            id=str(uuid.uuid4()), project_id="p", created_at=timestamp(at), updated_at=timestamp(at)
        )
        instance = instances.add(connection, made)
        migration = Migration(instance_id=instance.id, type=LIVE, status=status, source_compute=source)
        migration.MergeFrom(Migration(**fields))  # type: ignore[arg-type]
        return instance_migrations.add(connection, migration, at)

    return await database.write(work)


async def takes_turn(database: Database, migration: Migration, most: int) -> bool:
    def work(connection: Connection) -> bool:
        locked = instance_migrations.lock(connection, migration.id)
        return live_migrations.take_turn(connection, locked, most, now())

    return await database.write(work)


async def test_turns_are_taken_in_order_and_as_many_as_may(url: str) -> None:
    async with database_at(url) as database:
        await add(database, "host1", RUNNING)
        first, second = await add(database, "host1", QUEUED), await add(database, "host1", QUEUED)
        other = await add(database, "host2", QUEUED)
        assert not await takes_turn(database, first, 1)
        assert not await takes_turn(database, second, 2)
        assert await takes_turn(database, other, 1)
        assert await takes_turn(database, first, 2)
        found = await database.read(lambda c: instance_migrations.get(c, first.id))
        assert found.status == PREPARING
        assert not await takes_turn(database, second, 2)
        assert await takes_turn(database, second, 0)


async def test_one_that_is_aborted_takes_no_turn(url: str) -> None:
    async with database_at(url) as database:
        aborted = await add(database, "host1", QUEUED, aborting=True)
        assert not await takes_turn(database, aborted, 0)


async def test_evacuations_from_one_host_are_completed(url: str) -> None:
    async with database_at(url) as database:
        mine = await add(database, "host1", DONE, type=EVACUATION)
        others = [
            await add(database, "host2", DONE, type=EVACUATION),
            await add(database, "host1", DONE),
            await add(database, "host1", QUEUED, type=EVACUATION),
        ]
        ids = [one.instance_id for one in (mine, *others)]
        for some in ([], ids):
            await database.write(
                lambda c: instance_migrations.complete_evacuations(c, "host1", some, now())  # noqa: B023
            )
        assert (await database.read(lambda c: instance_migrations.get(c, mine.id))).status == COMPLETED
        for one in others:
            kept = await database.read(lambda c: instance_migrations.get(c, one.id))  # noqa: B023
            assert kept.status == one.status

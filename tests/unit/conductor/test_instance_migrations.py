"""Records of migrations: written, found, filtered, paged; and what their claims and quotas come to."""

import uuid
from datetime import datetime, timedelta

import pytest

from db import flavors, instance_migrations, instances
from db.database import Connection, Database
from db.schema.base import now, timestamp
from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest, MigrationFilter
from novamesh.failures import InvalidArgumentError, NotFoundError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from tests.unit.conductor.fakes import database_at

FINISHED = MigrationStatus.MIGRATION_STATUS_FINISHED
CONFIRMED = MigrationStatus.MIGRATION_STATUS_CONFIRMED
RESIZE = MigrationType.MIGRATION_TYPE_RESIZE
LIVE = MigrationType.MIGRATION_TYPE_LIVE_MIGRATION
BEGAN = datetime(2026, 1, 1)


async def an_instance(database: Database) -> Instance:
    """A record to be moved."""
    at = timestamp(BEGAN)
    made = Instance(id=str(uuid.uuid4()), project_id="p", user_id="u", created_at=at, updated_at=at)
    return await database.write(lambda c: instances.add(c, made))


async def add(database: Database, instance: Instance, minute: int, **fields: object) -> Migration:
    """A migration that was accepted so many minutes after the first."""
    migration = Migration(instance_id=instance.id, type=RESIZE, status=FINISHED)
    migration.MergeFrom(Migration(**fields))  # type: ignore[arg-type]
    at = BEGAN + timedelta(minutes=minute)
    return await database.write(lambda c: instance_migrations.add(c, migration, at))


async def listed(database: Database, **fields: object) -> list[int]:
    """Numbers of the migrations that a filter chooses."""
    wanted = ListMigrationsRequest(filter=MigrationFilter(**fields))  # type: ignore[arg-type]
    found, token = await database.read(lambda c: instance_migrations.page(c, wanted))
    assert token == ""
    return [one.number for one in found]


async def test_a_record_knows_the_numbers_of_its_flavors(url: str) -> None:
    async with database_at(url) as database:

        def furnish(connection: Connection) -> None:
            for name in ("old", "new"):
                made = Flavor(id=name, name=name, vcpus=1, memory_mb=1, root_gb=1)
                flavors.add(connection, made, now())

        await database.write(furnish)
        instance = await an_instance(database)
        gone = Flavor(id="gone")
        made = await add(database, instance, 0, old_flavor=gone, new_flavor=Flavor(id="new"))
        assert (made.old_flavor_number, made.new_flavor_number) == (0, 2)
        assert await database.read(lambda c: instance_migrations.get(c, made.id)) == made
        same = await database.read(lambda c: instance_migrations.by_number(c, instance.id, made.number))
        assert same == made
        with pytest.raises(NotFoundError):
            await database.read(lambda c: instance_migrations.by_number(c, "other", made.number))
        with pytest.raises(NotFoundError):
            await database.read(lambda c: instance_migrations.get(c, "none"))


async def test_an_instance_has_one_that_is_open(url: str) -> None:
    async with database_at(url) as database:
        instance = await an_instance(database)
        assert await database.read(lambda c: instance_migrations.of_instance(c, instance.id)) is None
        for status in instance_migrations.ENDED:
            await add(database, instance, 0, status=status)
        assert await database.read(lambda c: instance_migrations.of_instance(c, instance.id)) is None
        made = await add(database, instance, 1)
        at = BEGAN + timedelta(minutes=2)

        def change(connection: Connection) -> None:
            found = instance_migrations.lock_open(connection, instance.id)
            assert found == made
            found.status = CONFIRMED
            found.held_host = "h1"
            instance_migrations.save(connection, found, at)

        await database.write(change)
        assert await database.read(lambda c: instance_migrations.of_instance(c, instance.id)) is None
        now_it_is = await database.read(lambda c: instance_migrations.get(c, made.id))
        assert (now_it_is.generation, now_it_is.updated_at) == (2, timestamp(at))


async def test_filters(url: str) -> None:
    async with database_at(url) as database:
        first, second = await an_instance(database), await an_instance(database)
        a = await add(database, first, 0, source_compute="h1", dest_compute="h2", user_id="u1")
        b = await add(database, second, 1, source_compute="h2", dest_compute="h3", project_id="p1")
        c = await add(database, second, 2, source_compute="h3", status=CONFIRMED, type=LIVE)
        everything = [c.number, b.number, a.number]
        assert await listed(database) == everything
        assert await listed(database, instance_id=second.id) == [c.number, b.number]
        assert await listed(database, statuses=[CONFIRMED]) == [c.number]
        assert await listed(database, types=[RESIZE]) == [b.number, a.number]
        assert await listed(database, host="h2") == [b.number, a.number]
        assert await listed(database, source_compute="h2") == [b.number]
        assert await listed(database, user_id="u1") == [a.number]
        assert await listed(database, project_id="p1") == [b.number]
        at = timestamp(BEGAN + timedelta(minutes=1))
        assert await listed(database, changes_since=at) == [c.number, b.number]
        assert await listed(database, changes_before=at) == [b.number, a.number]
        assert await listed(database, user_id="nobody") == []


async def test_pages(url: str) -> None:
    async with database_at(url) as database:
        instance = await an_instance(database)
        # Two of each moment: the number decides.
        made = [await add(database, instance, index // 2, status=CONFIRMED) for index in range(5)]
        request = ListMigrationsRequest(page_size=2)
        seen: list[int] = []
        while True:
            found, token = await database.read(lambda c: instance_migrations.page(c, request))  # noqa: B023
            seen += [one.number for one in found]
            if not token:
                break
            request = ListMigrationsRequest(page_size=2, page_token=token)
        assert seen == [one.number for one in reversed(made)]
        after = ListMigrationsRequest(marker=made[1].id)
        found, _ = await database.read(lambda c: instance_migrations.page(c, after))
        assert [one.number for one in found] == [made[0].number]
        gone = ListMigrationsRequest(marker="none")
        with pytest.raises(NotFoundError):
            await database.read(lambda c: instance_migrations.page(c, gone))
        unknown = ListMigrationsRequest(page_token="none")
        with pytest.raises(InvalidArgumentError):
            await database.read(lambda c: instance_migrations.page(c, unknown))


async def test_those_that_wait_for_long(url: str) -> None:
    async with database_at(url) as database:
        one, two = await an_instance(database), await an_instance(database)
        await add(database, one, 0, status=CONFIRMED)
        late = await add(database, two, 5)
        early = await add(database, one, 1)
        at = BEGAN + timedelta(minutes=5)
        found = await database.read(lambda c: instance_migrations.finished_before(c, at, 10))
        assert [migration.id for migration in found] == [early.id, late.id]
        found = await database.read(lambda c: instance_migrations.finished_before(c, at, 1))
        assert [migration.id for migration in found] == [early.id]
        at = BEGAN + timedelta(minutes=4)
        found = await database.read(lambda c: instance_migrations.finished_before(c, at, 10))
        assert [migration.id for migration in found] == [early.id]

"""What an instance holds on two hosts while it moves, and who frees it."""

from sqlalchemy import event

from db import hosts, instance_migrations
from db.database import Connection
from db.schema.base import now
from db.sqlite import SqliteDatabase
from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest, MigrationFilter
from novamesh.types.v1.instance_pb2 import VmState
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.conductor.live_migrations import LIVE, RUNNING
from tests.unit.conductor.fakes import cloud_at, database_at
from tests.unit.conductor.test_ledger import nothing_is_held
from tests.unit.conductor.test_live_migrations import add

FAILED = MigrationStatus.MIGRATION_STATUS_FAILED
DONE, COMPLETED = MigrationStatus.MIGRATION_STATUS_DONE, MigrationStatus.MIGRATION_STATUS_COMPLETED
EVACUATION = MigrationType.MIGRATION_TYPE_EVACUATION


async def test_a_delete_on_the_way_clears_the_destination_too(sqlite: str) -> None:
    async with cloud_at(sqlite) as cloud:
        [one] = await cloud.active()
        [other] = cloud.computes.keys() - {one.host}

        def leave(connection: Connection) -> Migration:
            assert hosts.claim(connection, other, hosts.Size.of(one.flavor))
            under_way = Migration(
                instance_id=one.id,
                type=LIVE,
                status=RUNNING,
                source_compute=one.host,
                dest_compute=other,
                held_host=other,
                old_flavor=one.flavor,
                new_flavor=one.flavor,
                held_flavor=one.flavor,
            )
            return instance_migrations.add(connection, under_way, now())

        migration = await cloud.database.write(leave)
        await cloud.delete(one.id)
        assert (await cloud.settle(one.id)).vm_state == VmState.VM_STATE_DELETED
        assert [cloud.computes[name].count("delete") for name in (one.host, other)] == [1, 1]
        assert cloud.network.cleared == [one.host, other]
        await nothing_is_held(cloud)
        over = await cloud.database.read(lambda c: instance_migrations.get(c, migration.id))
        assert (over.status, over.held_host) == (FAILED, "")


async def test_evacuations_are_completed_in_two_statements(sqlite: str) -> None:
    statements: list[str] = []
    async with database_at(sqlite) as database:
        assert isinstance(database, SqliteDatabase)

        made = [await add(database, "host1", DONE, type=EVACUATION) for _ in range(5)]

        @event.listens_for(database._write_engine, "before_cursor_execute")
        def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
            statements.append(statement)

        ids = [one.instance_id for one in made]
        await database.write(lambda c: instance_migrations.complete_evacuations(c, "host1", ids, now()))
        assert [one.partition(" ")[0] for one in statements] == ["BEGIN", "SELECT", "UPDATE"]
        wanted = ListMigrationsRequest(filter=MigrationFilter(host="host1"))
        found, _ = await database.read(lambda c: instance_migrations.page(c, wanted))
        assert [(one.status, one.generation) for one in found] == [(COMPLETED, 2)] * 5

"""A host that was away removes the old guests of resizes that are over, and no others."""

import uuid

import pytest

from drivers.testsuite.resize import grown, move
from drivers.virt import Boot
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from tests.compute_cloud import active, compute_cloud


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ("FINISHED", True),
        ("CONFIRMING", True),
        ("REVERTING", True),
        # The guest that is kept may be all that there is.
        ("ERROR", True),
        ("CONFIRMED", False),
        # The instance was deleted on the way.
        ("FAILED", False),
    ],
)
async def test_only_what_is_written_off_is_removed(status: str, kept: bool) -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        small = active(str(uuid.uuid4()))
        cloud.conductor.records[small.id] = small
        migration = move(small, grown(small))
        await host.driver.spawn(small, Boot())
        await host.driver.migrate_disks(small, migration)
        await host.driver.finish_resize(grown(small), migration, power_on=True)
        migration.type = MigrationType.MIGRATION_TYPE_RESIZE
        migration.status = MigrationStatus.Value(f"MIGRATION_STATUS_{status}")
        cloud.conductor.migrations.append(migration)
        await host.role.reconciler.compare()
        assert (await host.driver.kept_guests() == [small.id]) is kept
        assert [guest.instance_id for guest in await host.driver.instances()] == [small.id]


async def test_what_became_of_the_instance_later_does_not_keep_it() -> None:
    """Its state was reset instead of a confirm, and then it came back by a live migration."""
    async with compute_cloud() as cloud:
        host = await cloud.host()
        small = active(str(uuid.uuid4()))
        await host.driver.spawn(small, Boot())
        resize = move(small, grown(small), "host2")
        await host.driver.migrate_disks(small, resize)
        resize.type = MigrationType.MIGRATION_TYPE_RESIZE
        resize.status = MigrationStatus.MIGRATION_STATUS_FAILED
        later = Migration(
            id=str(uuid.uuid4()),
            instance_id=small.id,
            source_compute="host2",
            dest_compute="host1",
            type=MigrationType.MIGRATION_TYPE_LIVE_MIGRATION,
            status=MigrationStatus.MIGRATION_STATUS_COMPLETED,
        )
        # The newest first.
        cloud.conductor.migrations += [later, resize]
        await host.role.reconciler.compare()
        assert await host.driver.kept_guests() == []


async def test_without_a_record_nothing_is_removed() -> None:
    async with compute_cloud() as cloud:
        host = await cloud.host()
        small = active(str(uuid.uuid4()))
        cloud.conductor.records[small.id] = small
        await host.driver.spawn(small, Boot())
        await host.driver.migrate_disks(small, move(small, grown(small)))
        await host.role.reconciler.compare()
        assert await host.driver.kept_guests() == [small.id]

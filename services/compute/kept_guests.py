"""What is kept aside of guests after nobody can want it back.

A resize that is confirmed, and an instance that is deleted, while the source is down leave the old guest on
it. The conductor has written them off; the host removes them when it is back.
"""

import structlog

from drivers.virt import Driver
from drivers.virt.moves import Resize
from novamesh.conductor.v1.migration_service_pb2 import ListMigrationsRequest, MigrationFilter
from novamesh.conductor.v1.migration_service_pb2_grpc import MigrationServiceStub
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration, MigrationStatus, MigrationType
from services.compute.work import WorkKey, WorkTable
from services.mesh import Node

log = structlog.get_logger("novamesh.compute")

# These put a guest aside at their source.
_KEEPING = (MigrationType.MIGRATION_TYPE_RESIZE, MigrationType.MIGRATION_TYPE_MIGRATION)
# The old guest is of no use after these. After an ERROR it may be all that there is.
_WRITTEN_OFF = (
    MigrationStatus.MIGRATION_STATUS_CONFIRMED,
    MigrationStatus.MIGRATION_STATUS_FAILED,
    MigrationStatus.MIGRATION_STATUS_COMPLETED,
)


class KeptGuests:
    """See the module."""

    def __init__(self, node: Node, driver: Driver, work: WorkTable) -> None:
        self._node = node
        self._driver = driver
        self._work = work

    async def sweep(self, began: float) -> None:
        """Remove what isn't wanted, of guests that nothing has been done to since `began` (time.monotonic()).

        Raises what the conductor and the driver fail with.
        """
        if not isinstance(self._driver, Resize):
            return
        driver = self._driver
        for instance_id in await driver.kept_guests():
            migration = await self._latest(instance_id)
            if migration is None or migration.status not in _WRITTEN_OFF:
                continue
            if self._work.idle_since(instance_id, began):
                log.warning("guest of a migration that is over", instance=instance_id)
                instance = Instance(id=instance_id)

                async def remove(instance: Instance = instance, migration: Migration = migration) -> None:
                    await driver.confirm_resize(instance, migration)

                await self._work.run(instance_id, WorkKey("sweep"), remove)

    async def _latest(self, instance_id: str) -> Migration | None:
        """The last move that began here with putting the guest aside; the instance may have moved since, by
        live migrations and evacuations, also to this host."""
        stub = MigrationServiceStub(self._node.channel("conductor"))
        here = self._node.identity.host
        wanted = MigrationFilter(instance_id=instance_id, host=here, source_compute=here, types=_KEEPING)
        answer = await stub.ListMigrations(ListMigrationsRequest(filter=wanted, page_size=1))
        return answer.migrations[0] if answer.migrations else None

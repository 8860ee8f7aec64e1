"""Resizes and cold migrations of the fake driver's guests."""

from drivers.virt.fake.hypervisor import OFF, FakeHypervisor
from drivers.virt.fake.kept import forget, put_aside, take_up
from drivers.virt.moves import in_place, refuse_to_shrink
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import POWER_STATE_RUNNING, POWER_STATE_SHUTDOWN, Instance
from novamesh.types.v1.migration_pb2 import Migration


class FakeResize:
    """The Protocols Resize and ColdMigration: guests move from one dictionary to another."""

    hypervisor: FakeHypervisor

    async def migrate_disks(self, instance: Instance, migration: Migration, timeout: float = 0) -> None:
        """Take the guest off the host, for the time being."""
        await self.hypervisor.begin("migrate_disks", instance)
        new, old = migration.new_flavor, migration.old_flavor
        refuse_to_shrink(new.root_gb >= old.root_gb and new.ephemeral_gb >= old.ephemeral_gb)
        put_aside(self.hypervisor, instance.id, migration.id)

    async def send_disks(self, instance: Instance, migration: Migration, address: str) -> None:
        """Fake guests have no disks: the destination makes its own."""
        await self.hypervisor.begin("send_disks", instance)

    async def finish_resize(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """The guest again, which remembers its console where it was here before."""
        await self.hypervisor.begin("finish_resize", instance)
        here = instance.id in self.hypervisor.guests
        if not here and in_place(migration) and instance.id not in self.hypervisor.kept:
            raise NotFoundError("instance", instance.id)
        if not here:
            self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)
            kept = self.hypervisor.kept.get(instance.id)
            if kept is not None:
                self.hypervisor.guest(instance.id).console += kept.guest.console
                self.hypervisor.guest(instance.id).boots = kept.guest.boots
        self.hypervisor.guest(instance.id).flavor = instance.flavor
        self._power(instance.id, power_on)

    async def confirm_resize(self, instance: Instance, migration: Migration) -> None:
        """Forget what was kept."""
        await self.hypervisor.begin("confirm_resize", instance)
        forget(self.hypervisor, instance.id)

    async def revert_resize(self, instance: Instance, migration: Migration) -> None:
        """Drop the guest, unless it is the old one again."""
        await self.hypervisor.begin("revert_resize", instance)
        if not in_place(migration) or instance.id in self.hypervisor.kept:
            self.hypervisor.drop(instance.id)

    async def finish_revert(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """What was kept is the guest again."""
        await self.hypervisor.begin("finish_revert", instance)
        take_up(self.hypervisor, instance.id)
        self.hypervisor.guest(instance.id)
        self._power(instance.id, power_on)

    async def kept_guests(self) -> list[str]:
        """Whatever is kept."""
        return list(self.hypervisor.kept)

    def _power(self, instance_id: str, power_on: bool) -> None:
        if power_on and self.hypervisor.guest(instance_id).state in OFF:
            self.hypervisor.enter(instance_id, POWER_STATE_RUNNING)

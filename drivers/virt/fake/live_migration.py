"""Live migration of the fake driver's guests: the source forgets a guest, the destination begins to know it.

Two fake hypervisors don't talk to each other. So a guest that was sent is at the destination once
`finish_migration` is called there, and in between it is nowhere.
"""

import asyncio
import json
import time
from contextlib import suppress

from drivers.virt.fake.hypervisor import OFF, FakeHypervisor, Sending
from drivers.virt.live_migration import Destination, MigrationCheck, MigrationProgress
from novamesh.failures import DriverFailureError, InvalidArgumentError, NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import POWER_STATE_PAUSED, POWER_STATE_RUNNING, Instance

MIB, GIB = 1 << 20, 1 << 30
# An instance whose metadata has this key takes so many seconds to be sent, whatever the options say.
SECONDS_KEY = "novamesh:fake_migration_seconds"


class FakeLiveMigration:
    """The Protocol LiveMigration."""

    hypervisor: FakeHypervisor

    async def check_migration(self, instance: Instance, wanted: MigrationCheck) -> bool:
        """Compare the CPUs' models and what the options say of the storage."""
        await self.hypervisor.begin("check_migration", instance)
        options = self.hypervisor.options
        model = json.loads(wanted.source_cpu_info or "{}").get("model", "")
        if model != options.cpu_model:
            raise NotSupportedError(
                "cpu", f"Unacceptable CPU info: the guest has {model}, and the host {options.cpu_model}."
            )
        copy = not options.shared_storage if wanted.copy_disks is None else wanted.copy_disks
        if copy and options.shared_storage:
            raise InvalidArgumentError(
                "block_migration", "Block migration can not be used with shared storage."
            )
        if not copy and not options.shared_storage:
            raise InvalidArgumentError(
                "block_migration",
                "Shared storage live-migration requires either shared storage or boot-from-volume with no"
                " local disks.",
            )
        return copy

    async def prepare_migration(self, instance: Instance, *, copy_disks: bool) -> Destination:
        """Expect the guest."""
        await self.hypervisor.begin("prepare_migration", instance)
        if instance.id not in self.hypervisor.guests:
            self.hypervisor.expect(instance.id)
        address = self.hypervisor.options.host_ip
        return Destination(f"fake://{address}", copy_disks, address)

    async def migrate_live(self, instance: Instance, destination: Destination) -> int:
        """Wait as long as sending takes, then forget the guest."""
        guest = self.hypervisor.guest(instance.id)
        if guest.state not in (POWER_STATE_RUNNING, POWER_STATE_PAUSED):
            raise DriverFailureError("fake", "migrate_live", f"Guest {instance.id} doesn't run.")
        flavor = instance.flavor
        disk = (flavor.root_gb + flavor.ephemeral_gb) * GIB if destination.copy_disks else 0
        seconds = float(instance.metadata.get(SECONDS_KEY, self.hypervisor.options.migration_seconds))
        sending = Sending(flavor.memory_mb * MIB, disk, seconds)
        self.hypervisor.sendings[instance.id] = sending
        try:
            await self.hypervisor.begin("migrate_live", instance)
            if seconds:
                with suppress(TimeoutError):
                    await asyncio.wait_for(sending.over.wait(), seconds)
        finally:
            del self.hypervisor.sendings[instance.id]
        if sending.aborted:
            raise DriverFailureError("fake", "migrate_live", "The migration was aborted.")
        if self.hypervisor.guest(instance.id).state in OFF:
            raise DriverFailureError("fake", "migrate_live", f"Guest {instance.id} has ended meanwhile.")
        self.hypervisor.drop(instance.id)
        return 0

    async def migration_progress(self, instance_id: str) -> MigrationProgress:
        """By the clock."""
        sending = self._sending(instance_id)
        elapsed = time.monotonic() - sending.began
        part = min(1.0, elapsed / sending.seconds) if sending.seconds else 1.0
        memory, disk = int(sending.memory * part), int(sending.disk * part)
        return MigrationProgress(
            sending.memory, memory, sending.memory - memory, sending.disk, disk, sending.disk - disk
        )

    async def force_migration(self, instance_id: str) -> None:
        """End it at once."""
        await self.hypervisor.begin("force_migration", Instance(id=instance_id))
        self._sending(instance_id).over.set()

    async def abort_migration(self, instance_id: str) -> None:
        """End it, and keep the guest."""
        await self.hypervisor.begin("abort_migration", Instance(id=instance_id))
        sending = self.hypervisor.sendings.get(instance_id)
        if sending is not None and not sending.over.is_set():
            sending.aborted = True
            sending.over.set()

    async def finish_migration(self, instance: Instance) -> None:
        """The guest is here, in the state that it was sent in."""
        await self.hypervisor.begin("finish_migration", instance)
        if instance.id in self.hypervisor.guests:
            return
        if not self.hypervisor.expects(instance.id):
            raise NotFoundError("instance", instance.id)
        paused = instance.power_state == POWER_STATE_PAUSED
        self.hypervisor.unexpect(instance.id)
        self.hypervisor.enter(instance.id, POWER_STATE_PAUSED if paused else POWER_STATE_RUNNING)

    async def clean_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        """Nothing is left but, after a crash, the guest itself."""
        await self.hypervisor.begin("clean_migration", instance)
        self.hypervisor.drop(instance.id)

    async def roll_back_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        """Expect the guest no more."""
        await self.hypervisor.begin("roll_back_migration", instance)
        self.hypervisor.unexpect(instance.id)
        self.hypervisor.drop(instance.id)

    def _sending(self, instance_id: str) -> Sending:
        sending = self.hypervisor.sendings.get(instance_id)
        if sending is None:
            raise NotFoundError("migration", instance_id, f"Instance {instance_id} is not being migrated.")
        return sending

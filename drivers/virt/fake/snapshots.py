"""Snapshots of the fake driver's guests: disks of the right size and format with nothing on them."""

from collections.abc import AsyncIterator

from drivers.virt.fake.hypervisor import FakeHypervisor
from drivers.virt.fake.qcow2 import empty_qcow2
from drivers.virt.protocols import Progress, Snapshot, no_progress
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance

GIB = 1024**3
CHUNK = 64 * 1024
# Of a flavor without a root disk: as large as its image, of which nothing is known here.
_LEAST = 1024**2


class FakeSnapshots:
    """The Protocol Snapshots."""

    hypervisor: FakeHypervisor

    async def take_snapshot(
        self, instance: Instance, snapshot_id: str, progress: Progress = no_progress
    ) -> Snapshot:
        """An empty qcow2 as large as the flavor's root disk."""
        guest = self.hypervisor.guest(instance.id)
        if snapshot_id not in guest.snapshots:
            progress("taking snapshot", 0)
            await self.hypervisor.begin("take_snapshot", instance)
            size = instance.flavor.root_gb * GIB or _LEAST
            guest.snapshots = {snapshot_id: empty_qcow2(size)}
        return Snapshot(len(guest.snapshots[snapshot_id]), "qcow2", "bare")

    async def read_snapshot(self, instance: Instance, snapshot_id: str) -> AsyncIterator[bytes]:
        """In several chunks; each takes the method's delay and may fail."""
        guest = self.hypervisor.guests.get(instance.id)
        if guest is None or snapshot_id not in guest.snapshots:
            raise NotFoundError("snapshot", snapshot_id)
        data = guest.snapshots[snapshot_id]
        for start in range(0, len(data), CHUNK):
            yield data[start : start + CHUNK]
            await self.hypervisor.begin("read_snapshot", instance)

    async def drop_snapshot(self, instance: Instance, snapshot_id: str) -> None:
        """Forget it."""
        await self.hypervisor.begin("drop_snapshot", instance)
        guest = self.hypervisor.guests.get(instance.id)
        if guest is not None:
            guest.snapshots.pop(snapshot_id, None)

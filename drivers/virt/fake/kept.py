"""Guests of the fake driver that are kept aside as they were before a resize."""

from drivers.virt.fake.hypervisor import KEPT, FakeHypervisor, KeptGuest
from novamesh.types.v1.instance_pb2 import POWER_STATE_SHUTDOWN


def put_aside(hypervisor: FakeHypervisor, instance_id: str, migration_id: str) -> None:
    """Keep a guest as it is, off, and out of the way, for a migration; nothing when that is done.

    Raises NotFoundError.
    """
    kept = hypervisor.kept.get(instance_id)
    if kept is not None and (instance_id not in hypervisor.guests or kept.migration_id == migration_id):
        kept.migration_id = migration_id
        return
    guest = hypervisor.guest(instance_id)
    hypervisor.kept[instance_id] = KeptGuest(guest, migration_id)
    hypervisor.record(instance_id + KEPT, POWER_STATE_SHUTDOWN)
    hypervisor.drop(instance_id)
    guest.state = POWER_STATE_SHUTDOWN


def take_up(hypervisor: FakeHypervisor, instance_id: str) -> None:
    """Make a guest that was kept aside the guest again; nothing when there is none."""
    kept = hypervisor.kept.get(instance_id)
    if kept is not None:
        hypervisor.guests[instance_id] = kept.guest
        hypervisor.enter(instance_id, POWER_STATE_SHUTDOWN)
        forget(hypervisor, instance_id)


def mend(hypervisor: FakeHypervisor, instance_id: str) -> None:
    """Take up what is kept of a guest that isn't there: its resize and the way back both failed."""
    if instance_id not in hypervisor.guests:
        take_up(hypervisor, instance_id)


def forget(hypervisor: FakeHypervisor, instance_id: str) -> None:
    """Remove what was kept aside of a guest, if anything was."""
    if hypervisor.kept.pop(instance_id, None) is not None:
        hypervisor.record(instance_id + KEPT, None)

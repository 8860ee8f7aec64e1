"""Guests that move to another host while they run: one Protocol, of which each side has its part.

At the destination: `check_migration`, `prepare_migration`, then `finish_migration` or `roll_back_migration`.
At the source: `migrate_live`, meanwhile `migration_progress`, `force_migration` and `abort_migration`, then
`clean_migration`. Until `migrate_live` has returned the guest is the source's; from then on it is the
destination's, whatever becomes of the source.

As with every method of a driver, each may be called again after it has been done. `migrate_live` can't tell
a guest that it has sent from one that was never here: it raises NotFoundError for both, and whoever calls
asks the destination.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from novamesh.types.v1.instance_pb2 import Instance


@dataclass(frozen=True, slots=True)
class MigrationCheck:
    """What an administrator wants, and what the source is."""

    source_cpu_info: str
    """JSON, as in the source's inventory."""
    copy_disks: bool | None
    """True to copy them, False when they are said to be shared, None to find out."""
    disk_over_commit: bool = False
    """Count what the disks hold, and not what they may grow to."""


@dataclass(frozen=True, slots=True)
class Destination:
    """What the source has to know."""

    uri: str
    """Where the source's hypervisor sends the guest."""
    copy_disks: bool
    console_address: str = ""
    """Address that the guest's consoles listen on there."""
    driver_data: bytes = b"{}"
    """A JSON object of the driver's own."""


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far the sending is, in bytes."""

    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0


@runtime_checkable
class LiveMigration(Protocol):
    """See the module."""

    async def check_migration(self, instance: Instance, wanted: MigrationCheck) -> bool:
        """Whether disks will be copied. Changes nothing.

        Raises NotSupportedError("cpu") when the guest couldn't run here,
        InvalidArgumentError("block_migration") when the storage isn't what it is said to be,
        ResourceExhaustedError("disk").
        """
        ...

    async def prepare_migration(self, instance: Instance, *, copy_disks: bool) -> Destination:
        """Make ready for the guest. Raises ResourceExhaustedError("disk")."""
        ...

    async def migrate_live(self, instance: Instance, destination: Destination) -> int:
        """Send the guest; returns, when it runs there, for how many milliseconds it stood still.

        Raises NotFoundError("instance"), and DriverFailureError when the guest stays, aborted or not.
        """
        ...

    async def migration_progress(self, instance_id: str) -> MigrationProgress:
        """How far it is. Raises NotFoundError("migration") when nothing is being sent."""
        ...

    async def force_migration(self, instance_id: str) -> None:
        """Let the guest stand still, so that the sending comes to its end.

        Raises NotFoundError("migration") when nothing is being sent.
        """
        ...

    async def abort_migration(self, instance_id: str) -> None:
        """Stop the sending; the guest stays. Nothing for one that isn't being sent."""
        ...

    async def finish_migration(self, instance: Instance) -> None:
        """Keep the guest that has come. Raises NotFoundError("instance") when none has."""
        ...

    async def clean_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        """Remove what the guest has left at the source. Only `instance.id` is needed."""
        ...

    async def roll_back_migration(self, instance: Instance, *, remove_disks: bool) -> None:
        """Remove what was made ready at the destination, and the guest if it has come. Only `instance.id` is
        needed."""
        ...

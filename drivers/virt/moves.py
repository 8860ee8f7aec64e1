"""Guests that get another size or another host: two Protocols, and the one rule about sizes.

The guest as it was is *kept aside* from `migrate_disks` until `confirm_resize` drops it or `finish_revert`
takes it up again. It is kept under the migration's id: what an earlier migration has left, which an
administrator ended by force, is no part of a later one. `migration.source_compute` and
`migration.dest_compute` say which host is which; in a resize in place they are the same.

Where both fail, a start of the guest takes up what is kept of it.

As with every method of a driver, each may be called again after it has been done.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from novamesh.failures import InvalidArgumentError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration


@runtime_checkable
class Resize(Protocol):
    """Guests that get another size on the host where they are."""

    async def migrate_disks(self, instance: Instance, migration: Migration, timeout: float = 0) -> None:
        """Power off as `power_off` does, and keep the guest aside as it is.

        Raises InvalidArgumentError("flavor") when a disk would have to shrink, with nothing changed.
        """
        ...

    async def finish_resize(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """Make the guest in the size of `instance.flavor` out of what was kept aside or sent here.

        Root and ephemeral disks keep their content and grow; swap is made anew. Raises
        NotFoundError("instance") when nothing was kept or sent, ResourceExhaustedError("disk").
        """
        ...

    async def confirm_resize(self, instance: Instance, migration: Migration) -> None:
        """Drop what was kept aside. Only `instance.id` is needed."""
        ...

    async def revert_resize(self, instance: Instance, migration: Migration) -> None:
        """End the guest that `finish_resize` made here; what was kept aside on this host stays.

        A guest that `finish_revert` has taken up again already is left alone. Only `instance.id` is needed.
        """
        ...

    async def finish_revert(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """Take up again what was kept aside, with the size of `instance.flavor`.

        A guest that was never put aside is only powered on where that is wanted.
        """
        ...

    async def kept_guests(self) -> Sequence[str]:
        """Ids of the instances that something is kept aside of here."""
        ...


@runtime_checkable
class ColdMigration(Protocol):
    """Guests that are off and move to another host."""

    async def send_disks(self, instance: Instance, migration: Migration, address: str) -> None:
        """Send what `migrate_disks` has kept aside to the destination, whose compute role is at `address`.

        Raises UnavailableError when that doesn't answer, ResourceExhaustedError("disk") when it is full.
        """
        ...


def in_place(migration: Migration) -> bool:
    """True when source and destination are one host."""
    return migration.source_compute == migration.dest_compute


def refuse_to_shrink(fits: bool) -> None:
    """Raises InvalidArgumentError with Nova's sentence unless `fits`: nobody can tell what a disk's end
    holds."""
    if not fits:
        raise InvalidArgumentError("flavor", "Resize error: Unable to resize disk down.")

"""Resizes of libvirt's guests, on the host where they are."""

import contextlib
from functools import partial
from typing import Any

from drivers.virt.libvirt.lifecycle import LibvirtLifecycle, define_and_start, is_active, reset
from drivers.virt.moves import in_place, refuse_to_shrink
from novamesh.failures import NotFoundError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.migration_pb2 import Migration


class LibvirtResize(LibvirtLifecycle):
    """The Protocol Resize. The new guest's disks are copies that have grown: the old ones stay untouched."""

    async def migrate_disks(self, instance: Instance, migration: Migration, timeout: float = 0) -> None:
        """Power off, and rename the folder.

        Raises NotSupportedError("cold_migration") for another destination than this host.
        """
        if not in_place(migration):
            raise NotSupportedError(
                "cold_migration", "The libvirt driver can't move guests that are off to another host yet."
            )
        if await self.host.kept.migration(instance.id) == migration.id:
            return
        refuse_to_shrink(await self.host.kept.fits(instance, migration.new_flavor))
        # One that libvirt has lost is off, and its disks are there.
        with contextlib.suppress(NotFoundError):
            await self.power_off(instance, timeout)
        async with self.host.lock(instance.id):
            await self.host.kept.put_aside(instance.id, migration.id)

    async def finish_resize(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """Copy and grow the disks, define the domain anew."""
        async with self.host.lock(instance.id):
            if await self.host.connection.call("look for the guest", partial(is_active, instance.id)):
                return
            if await self.host.kept.migration(instance.id) != migration.id:
                raise NotFoundError("instance", instance.id)
            await self.host.kept.make(instance)
            await self._define("start the resized guest", instance, power_on)

    async def confirm_resize(self, instance: Instance, migration: Migration) -> None:
        """Remove the old disks."""
        async with self.host.lock(instance.id):
            await self.host.kept.remove(instance.id)

    async def revert_resize(self, instance: Instance, migration: Migration) -> None:
        """Cut the power, remove the new disks."""
        async with self.host.lock(instance.id):
            if await self.host.kept.migration(instance.id) == migration.id:
                await self.host.connection.call("end the resized guest", partial(reset, instance.id))
                await self.host.folders.remove(instance.id)

    async def finish_revert(self, instance: Instance, migration: Migration, *, power_on: bool) -> None:
        """Rename the folder back, define the domain as it was."""
        async with self.host.lock(instance.id):
            if await self.host.kept.migration(instance.id) == migration.id:
                await self.host.connection.call("end the resized guest", partial(reset, instance.id))
                await self.host.kept.take_up(instance.id)
            if not await self.host.connection.call("look for the guest", partial(is_active, instance.id)):
                await self._define("take the guest up again", instance, power_on)

    async def kept_guests(self) -> list[str]:
        """By the names of the folders."""
        return await self.host.kept.guests()

    async def _define(self, action: str, instance: Instance, power_on: bool) -> None:
        definition = self.host.definition(instance)
        work = partial(define_and_start, definition) if power_on else partial(_define, definition)
        await self.host.connection.call(action, work)


def _define(definition: str, connection: Any) -> None:
    connection.defineXML(definition)

"""Rebuild and rescue of libvirt's guests."""

from contextlib import suppress
from functools import partial
from typing import Any

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.domain import rescue_image
from drivers.virt.libvirt.domain.metadata import OURS
from drivers.virt.libvirt.host import LibvirtHost, find_or_none
from drivers.virt.libvirt.lifecycle import define_and_start, is_active, reset, shut_down
from drivers.virt.protocols import Boot
from novamesh.failures import NotFoundError
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import RescueArguments


class LibvirtRebuild:
    """The Protocol Rebuild."""

    host: LibvirtHost

    async def rebuild(
        self, instance: Instance, boot: Boot, *, power_on: bool = True, preserve_ephemeral: bool = False
    ) -> None:
        """Fetch the image, cut the power, drop the files and make them anew, define the domain."""
        async with self.host.lock(instance.id):
            await self.host.folders.fetch(instance, boot)
            await self.host.connection.call("end the guest", partial(reset, instance.id))
            await self.host.folders.clear(instance.id, keep_ephemeral=preserve_ephemeral)
            await self.host.folders.make(instance, boot)
            definition = self.host.definition(instance)
            boot.progress("starting guest" if power_on else "defining guest", 0)
            work = define_and_start if power_on else _define
            await self.host.connection.call("rebuild the guest", partial(work, definition))


class LibvirtRescue:
    """The Protocol Rescue."""

    host: LibvirtHost

    async def rescue(
        self, instance: Instance, rescue: RescueArguments, boot: Boot, timeout: float = 0
    ) -> None:
        """Make the rescue disk beside the others, shut down, and define the domain with it first."""
        async with self.host.lock(instance.id):
            rescued_from = partial(_rescued_from, instance.id)
            if await self.host.connection.call("look for the guest", rescued_from) == rescue.image_id:
                return
            await self.host.folders.make_rescue(instance, rescue, boot)
            definition = self.host.definition(instance, rescue)
            boot.progress("starting guest", 0)
            # A guest that is lost has its disks.
            with suppress(NotFoundError):
                await shut_down(self.host, instance.id, timeout)
            await self.host.connection.call("rescue the guest", partial(reset, instance.id))
            await self.host.connection.call("rescue the guest", partial(define_and_start, definition))

    async def unrescue(self, instance: Instance) -> None:
        """Cut the power of the rescue and define the domain as it was."""
        async with self.host.lock(instance.id):
            definition = self.host.definition(instance)
            rescued = await self.host.connection.call(
                "look for the guest", partial(_rescued_from, instance.id)
            )
            if rescued or not await self.host.connection.call(
                "look for the guest", partial(is_active, instance.id)
            ):
                await self.host.connection.call("unrescue the guest", partial(reset, instance.id))
                await self.host.connection.call("unrescue the guest", partial(define_and_start, definition))
            await self.host.folders.drop_rescue(instance.id)


# What follows runs in a thread, with the virConnect last by functools.partial.


def _define(definition: str, connection: Any) -> None:
    connection.defineXML(definition)


def _rescued_from(instance_id: str, connection: Any) -> str:
    """The image that an active guest was rescued from; empty for any other guest."""
    if not is_active(instance_id, connection):
        return ""
    domain = find_or_none(connection, instance_id)
    try:
        return rescue_image(domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, OURS))
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return ""
        raise

"""What the role does to guests beyond what a driver does: the steps around the driver's methods.

Nothing here knows of operations, repetition or order; see `work`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog

from drivers.virt import Boot, Driver, Progress, Suspend, no_progress
from novamesh.errors.v1.errors_pb2 import NotFound
from novamesh.failures import Failure, NotFoundError, NotSupportedError, UnavailableError
from novamesh.metadata.v1.metadata_service_pb2 import GetConfigDriveRequest
from novamesh.metadata.v1.metadata_service_pb2_grpc import MetadataServiceStub
from novamesh.network.v1.interface_service_pb2 import (
    ListPluggedInterfacesRequest,
    PlugInterfacesRequest,
    UnplugInterfacesRequest,
)
from novamesh.network.v1.interface_service_pb2_grpc import InterfaceServiceStub
from novamesh.types.v1.instance_pb2 import POWER_STATE_SHUTDOWN, Instance, PowerState
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, RebootType
from services.compute.options import ComputeOptions
from services.mesh import Node

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.network.v1.interface_service_pb2_grpc import InterfaceServiceAsyncStub

log = structlog.get_logger("novamesh.compute")

# Seconds that the host's network role may take.
NETWORK_TIMEOUT = 60.0
# First letters of a disk's name by the bus that an image asks for.
_DISK_PREFIX = {"virtio": "vd", "xen": "xvd", "ide": "hd", "scsi": "sd", "sata": "sd", "usb": "sd"}


class Guests:
    """The guests of one host. Every method may be called again and ends in the same place."""

    def __init__(self, node: Node, driver: Driver, options: ComputeOptions) -> None:
        self._node = node
        self.driver = driver
        self._options = options
        limit = options.max_concurrent_builds
        self._builds = asyncio.Semaphore(limit) if limit else None

    async def build(self, instance: Instance, progress: Progress = no_progress) -> PowerState.ValueType:
        """Start a guest for the first time. Raises what BuildInstance fails with."""
        async with self._turn(progress):
            boot = Boot(config_drive=await self.config_drive(instance), progress=progress)
            try:
                await self.driver.spawn(instance, boot)
            except UnavailableError:
                # Somebody is away who will be back: the next attempt goes on from what is there.
                raise
            except Failure:
                await self._clean_up(instance)
                raise
        return await self.driver.power_state(instance.id)

    async def power_on(self, instance: Instance) -> PowerState.ValueType:
        """Start a guest that is off, made anew if the hypervisor has lost it."""
        try:
            await self.driver.power_on(instance)
        except NotFoundError as lost:
            await self._make_anew(instance, lost)
        return await self.driver.power_state(instance.id)

    async def power_off(self, instance: Instance, timeout: float) -> PowerState.ValueType:
        """Power off. A guest that the hypervisor has lost is off."""
        try:
            await self.driver.power_off(instance, timeout)
            return await self.driver.power_state(instance.id)
        except NotFoundError as lost:
            _check_lost(lost)
            return POWER_STATE_SHUTDOWN

    async def reboot(self, instance: Instance, how: RebootType.ValueType) -> PowerState.ValueType:
        """Reboot; a lost guest is made anew."""
        try:
            await self.driver.reboot(instance, how)
        except NotFoundError as lost:
            await self._make_anew(instance, lost)
        return await self.driver.power_state(instance.id)

    async def pause(self, instance: Instance) -> PowerState.ValueType:
        """Stop its processors."""
        await self.driver.pause(instance)
        return await self.driver.power_state(instance.id)

    async def unpause(self, instance: Instance) -> PowerState.ValueType:
        """Let its processors go on."""
        await self.driver.unpause(instance)
        return await self.driver.power_state(instance.id)

    async def suspend(self, instance: Instance) -> PowerState.ValueType:
        """Save its memory. Raises NotSupportedError."""
        await self._suspender().suspend(instance)
        return await self.driver.power_state(instance.id)

    async def resume(self, instance: Instance) -> PowerState.ValueType:
        """Go on from saved memory. Raises NotSupportedError."""
        await self._suspender().resume(instance)
        return await self.driver.power_state(instance.id)

    async def destroy(self, instance: Instance) -> None:
        """End the guest and remove all that it has here."""
        await self.driver.destroy(instance)

    async def revive(self, instance: Instance) -> PowerState.ValueType:
        """Start a guest again that a reboot of the host has ended: network first, then the guest anew."""
        if self._options.network_address and instance.interfaces:
            request = PlugInterfacesRequest(interfaces=instance.interfaces)
            await self._network().PlugInterfaces(request, timeout=NETWORK_TIMEOUT)
        return await self.reboot(instance, REBOOT_TYPE_HARD)

    async def unplug(self, instance_id: str) -> None:
        """Take back what this host's network role has for an instance that isn't here any more.

        Nobody else asks for it: the conductor gave the host up while it was down. What fails is logged: with
        the guest gone the cards harm nobody, and the network role's next start removes them.
        """
        if not self._options.network_address:
            return
        try:
            answer = await self._network().ListPluggedInterfaces(
                ListPluggedInterfacesRequest(), timeout=NETWORK_TIMEOUT
            )
            cards = [one.interface for one in answer.interfaces if one.interface.instance_id == instance_id]
            if cards:
                request = UnplugInterfacesRequest(interfaces=cards)
                await self._network().UnplugInterfaces(request, timeout=NETWORK_TIMEOUT)
        except Failure as failure:
            log.warning("network of a guest not cleared", instance=instance_id, why=failure.message)

    def _network(self) -> "InterfaceServiceAsyncStub":
        host = self._node.identity.host
        return InterfaceServiceStub(self._node.channel_to(self._options.network_address, "network", host))

    @asynccontextmanager
    async def _turn(self, progress: Progress) -> AsyncIterator[None]:
        if self._builds is None:
            yield
            return
        if self._builds.locked():
            progress("waiting for other builds", 0)
        async with self._builds:
            yield

    async def config_drive(self, instance: Instance) -> dict[str, bytes]:
        """The files of its config drive as they are now; none for an instance without one."""
        if not instance.config_drive:
            return {}
        stub = MetadataServiceStub(self._node.channel("metadata"))
        answer = await stub.GetConfigDrive(GetConfigDriveRequest(instance_id=instance.id))
        return {file.path: file.content for file in answer.files}

    async def _make_anew(self, instance: Instance, lost: NotFoundError) -> None:
        _check_lost(lost)
        log.warning("guest lost, making it anew", instance=instance.id)
        await self.driver.spawn(instance, Boot(config_drive=await self.config_drive(instance)))

    async def _clean_up(self, instance: Instance) -> None:
        try:
            await self.driver.destroy(instance)
        except Failure as failure:
            # The build's own failure is the one to tell. The record still names this host: a delete ends it.
            log.warning("clean-up after a failed build failed", instance=instance.id, why=failure.message)

    def _suspender(self) -> Suspend:
        if not isinstance(self.driver, Suspend):
            raise NotSupportedError("suspend", f"The {self.driver.name} driver can't suspend guests.")
        return self.driver


def root_device_name(instance: Instance) -> str:
    """The root disk's name in the guest: the record's, else as the image's disk bus has it."""
    if instance.root_device_name:
        return instance.root_device_name
    for disk in instance.block_devices:
        if disk.boot_index == 0 and disk.device_name:
            return disk.device_name
    bus = instance.system_metadata.get("image_hw_disk_bus", "virtio")
    return f"/dev/{_DISK_PREFIX.get(bus, 'vd')}a"


def _check_lost(failure: NotFoundError) -> None:
    """Pass on a NotFoundError that isn't about the guest, but for example about its image."""
    if not isinstance(failure.detail, NotFound) or failure.detail.resource_type != "instance":
        raise failure

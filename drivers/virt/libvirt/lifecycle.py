"""Lifecycle and suspension of libvirt's guests."""

import asyncio
from functools import partial
from typing import Any

from prometheus_client import Histogram

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.host import LibvirtHost, find, find_or_none, state_of
from drivers.virt.protocols import Boot
from novamesh.failures import DriverFailureError
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SUSPENDED,
    Instance,
    PowerState,
)
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, RebootType

_ACTIVE = (POWER_STATE_RUNNING, POWER_STATE_PAUSED)
_SECONDS = Histogram(
    "novamesh_libvirt_seconds",
    "Time that libvirt itself took for a call.",
    ("call",),
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class LibvirtLifecycle:
    """The Protocol Lifecycle."""

    host: LibvirtHost

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        """Make the files, define the domain, start it. A guest that is running or paused is left alone."""
        async with self.host.lock(instance.id):
            if await self.host.connection.call("look for the guest", partial(is_active, instance.id)):
                return
            await self.host.folders.make(instance, boot)
            boot.progress("starting guest", 0)
            await self._start("start the guest", instance)

    async def destroy(self, instance: Instance) -> None:
        """End the domain, drop its definition, saved memory and files."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("end the guest", partial(_drop, instance.id))
            await self.host.kept.remove(instance.id)
            await self.host.folders.remove(instance.id)

    async def power_on(self, instance: Instance) -> None:
        """Define the domain anew and start it, so that it has what its record says."""
        async with self.host.lock(instance.id):
            if not await self.host.connection.call("look for the guest", partial(is_active, instance.id)):
                await self._start("power on the guest", instance)

    async def power_off(self, instance: Instance, timeout: float = 0) -> None:
        """Press the ACPI power button; cut the power when that did not help in `timeout` seconds.

        Saved memory is dropped.
        """
        async with self.host.lock(instance.id):
            await shut_down(self.host, instance.id, timeout)
            await self.host.connection.call("power off the guest", partial(_cut_power, instance.id))

    async def reboot(
        self, instance: Instance, reboot_type: RebootType.ValueType, timeout: float = 120
    ) -> None:
        """Soft: ACPI shutdown and start; hard: power off, forget saved memory, define anew, start."""
        async with self.host.lock(instance.id):
            hard = reboot_type == REBOOT_TYPE_HARD
            if hard or not await shut_down(self.host, instance.id, timeout):
                await self.host.connection.call("reboot the guest", partial(reset, instance.id))
            if hard:
                # What a rescue has left that failed, or that nobody ended.
                await self.host.folders.drop_rescue(instance.id)
            await self._start("reboot the guest", instance)

    async def pause(self, instance: Instance) -> None:
        """Stop the domain's processors."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("pause the guest", partial(_pause, instance.id))

    async def unpause(self, instance: Instance) -> None:
        """Let them go on."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("unpause the guest", partial(_unpause, instance.id))

    async def power_state(self, instance_id: str) -> PowerState.ValueType:
        """What libvirt says of the domain."""
        return await self.host.connection.call(
            "look at the guest", lambda connection: state_of(find(connection, instance_id))
        )

    async def _start(self, action: str, instance: Instance) -> None:
        await self.host.kept.mend(instance.id)
        definition = self.host.definition(instance)
        await self.host.connection.call(action, partial(define_and_start, definition))


class LibvirtSuspend:
    """The Protocol Suspend, by libvirt's managed save."""

    host: LibvirtHost

    async def suspend(self, instance: Instance) -> None:
        """Write the guest's memory beside libvirt's own files and stop it."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("suspend the guest", partial(_save, instance.id))

    async def resume(self, instance: Instance) -> None:
        """Start from that; plain start when there is none."""
        async with self.host.lock(instance.id):
            await self.host.connection.call("resume the guest", partial(_resume, instance.id))


async def shut_down(host: LibvirtHost, instance_id: str, timeout: float) -> bool:
    """Ask the guest to shut down; True when it is off within `timeout` seconds, or was.

    Raises NotFoundError.
    """
    with host.stopping(instance_id) as stopped:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        # A guest that is still starting doesn't see the button, hence more than one press.
        while await host.connection.call("shut down the guest", partial(_press, instance_id, timeout > 0)):
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(min(left, host.options.shutdown_retry_interval)):
                    await stopped.wait()
            except TimeoutError:
                continue
            stopped.clear()
        return True


# What follows runs in a thread, with the virConnect first or last by functools.partial.


def is_active(instance_id: str, connection: Any) -> bool:
    """True for a guest that runs or is paused."""
    domain = find_or_none(connection, instance_id)
    return domain is not None and state_of(domain) in _ACTIVE


def define_and_start(definition: str, connection: Any) -> None:
    """Define a domain anew, and start it unless it runs."""
    with _SECONDS.labels("define").time():
        domain = connection.defineXML(definition)
    if state_of(domain) not in _ACTIVE:
        with _SECONDS.labels("create").time():
            domain.create()


def _drop(instance_id: str, connection: Any) -> None:
    domain = find_or_none(connection, instance_id)
    if domain is None:
        return
    _destroy(domain)
    flags = (
        libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    )
    try:
        domain.undefineFlags(flags)
    except libvirt.libvirtError as error:
        # It had no definition to begin with, or somebody else was faster.
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise


def _cut_power(instance_id: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    _destroy(domain)
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()


def reset(instance_id: str, connection: Any) -> None:
    """Cut a guest's power and forget its saved memory, if it has any."""
    domain = find_or_none(connection, instance_id)
    if domain is None:
        return
    _destroy(domain)
    if domain.hasManagedSaveImage():
        domain.managedSaveRemove()


def _destroy(domain: Any) -> None:
    """Cut the power of a domain, if it has any."""
    try:
        domain.destroy()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
            raise


def _press(instance_id: str, press: bool, connection: Any) -> bool:
    """Press the power button; False when the guest is off already."""
    domain = find(connection, instance_id)
    state = state_of(domain)
    if state not in _ACTIVE:
        return False
    # A paused guest can't answer; pressing would only fail.
    if press and state == POWER_STATE_RUNNING:
        try:
            domain.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
                raise
            return state_of(domain) in _ACTIVE
    return True


def _pause(instance_id: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    if state_of(domain) != POWER_STATE_PAUSED:
        domain.suspend()


def _unpause(instance_id: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    if state_of(domain) != POWER_STATE_RUNNING:
        domain.resume()


def _save(instance_id: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    state = state_of(domain)
    if state == POWER_STATE_SUSPENDED:
        return
    if state not in _ACTIVE:
        raise DriverFailureError(
            "libvirt", "suspend", f"Guest {instance_id} is off: it has no memory to save."
        )
    domain.managedSave(libvirt.VIR_DOMAIN_SAVE_RUNNING)


def _resume(instance_id: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    state = state_of(domain)
    if state == POWER_STATE_PAUSED:
        domain.resume()
    elif state != POWER_STATE_RUNNING:
        domain.create()

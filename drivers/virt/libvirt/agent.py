"""What reaches into a libvirt guest: its agent, and the interrupt that it can't ignore."""

from functools import partial
from typing import Any

from drivers.virt.libvirt.api import libvirt
from drivers.virt.libvirt.domain import has_guest_agent, image_property
from drivers.virt.libvirt.host import LibvirtHost, find
from novamesh.failures import DriverFailureError, NotSupportedError
from novamesh.types.v1.instance_pb2 import Instance


class LibvirtGuestAgent:
    """The Protocol GuestAgent, by QEMU's agent."""

    host: LibvirtHost

    async def set_admin_password(self, instance: Instance, password: str) -> None:
        """Have the agent set it for os_admin_user, root, or Administrator on Windows."""
        if not has_guest_agent(instance):
            raise NotSupportedError(
                "guest_agent", "QEMU guest agent is not enabled: the image has no hw_qemu_guest_agent=yes."
            )
        windows = image_property(instance, "os_type", "linux") == "windows"
        user = image_property(instance, "os_admin_user", "Administrator" if windows else "root")
        await self.host.connection.call(
            "set the password", partial(_set_password, instance.id, user, password)
        )


class LibvirtNmi:
    """The Protocol Nmi."""

    host: LibvirtHost

    async def inject_nmi(self, instance: Instance) -> None:
        """Have QEMU raise it on every processor."""
        await self.host.connection.call(
            "interrupt the guest", lambda connection: find(connection, instance.id).injectNMI(0)
        )


# What follows runs in a thread.


def _set_password(instance_id: str, user: str, password: str, connection: Any) -> None:
    domain = find(connection, instance_id)
    try:
        domain.setUserPassword(user, password, 0)
    except libvirt.libvirtError as error:
        # What libvirt says may repeat what it was given.
        if error.get_error_code() in (
            libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
        ):
            raise NotSupportedError("guest_agent", "The guest's agent does not answer.") from None
        if not connection.isAlive():
            raise
        raise DriverFailureError(
            "libvirt", "set the password", "The guest's agent did not set the password."
        ) from None

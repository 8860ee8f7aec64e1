"""What else can be done to a guest: abilities of a driver beside those of `protocols`, under the same rules.

Not reported by `capabilities`: whoever asks is told.
"""

from typing import Protocol, runtime_checkable

from drivers.virt.protocols import Boot
from novamesh.types.v1.diagnostics_pb2 import Diagnostics
from novamesh.types.v1.instance_pb2 import Instance


@runtime_checkable
class Rebuild(Protocol):
    """Guests whose disks are made anew."""

    async def rebuild(
        self, instance: Instance, boot: Boot, *, power_on: bool = True, preserve_ephemeral: bool = False
    ) -> None:
        """End the guest, make its disks from the instance's image, define it anew; start it for `power_on`.

        With `preserve_ephemeral` ephemeral disks stay as they are. An image that
        can't be used fails before the guest is touched. Raises what `spawn` raises.
        """
        ...


@runtime_checkable
class Nmi(Protocol):
    """Guests that can be made to dump their memory."""

    async def inject_nmi(self, instance: Instance) -> None:
        """Send a non-maskable interrupt to its processors; what it does then is its own affair.

        Raises NotFoundError when it has no such guest, and DriverFailureError when it is off.
        """
        ...


@runtime_checkable
class GuestDiagnostics(Protocol):
    """Guests that are counted."""

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        """The guest's counters now; of one that is off nothing but its power state.

        Raises NotFoundError when it has no such guest.
        """
        ...

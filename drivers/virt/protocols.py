"""What a hypervisor driver is: small Protocols, one for each ability.

Every driver is a `Driver`: it starts and stops, runs guests through their
lives, and says what the host has. Everything else is an ability of its own,
which a driver has when it has the methods; `capabilities()` names those of a
driver. The essay in `drivers.virt` defines each argument and walks through a
boot.

What holds for every method of every Protocol:

- It may run twice, and after a crash in the middle: it looks at what is there
  and ends in the same place. Spawning what runs, ending what is gone, pausing
  what is paused all succeed.
- It returns when the thing is done, not when it has been asked for.
- It never changes a message that it was given, and keeps none that it may be
  given anew: after a restart of the process a driver knows only what the
  hypervisor and its own files say.
- Times are in seconds. Failures are those of `novamesh.failures`:
  `NotFoundError("instance", id)` when the guest isn't there and the method
  needs one, `StateConflictError` never (states are the conductor's affair),
  `UnavailableError` with the part's name when the hypervisor doesn't answer,
  `ResourceExhaustedError("disk")` when a disk is full, `ImageUnacceptableError`
  when the image can't be used, `DriverFailureError` for what the hypervisor
  refused.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from drivers.virt.live_migration import LiveMigration
from drivers.virt.moves import ColdMigration, Resize
from novamesh.types.v1.host_pb2 import HostInventory
from novamesh.types.v1.image_pb2 import Image
from novamesh.types.v1.instance_pb2 import Instance, PowerState
from novamesh.types.v1.network_pb2 import VirtualInterface
from novamesh.types.v1.operation_pb2 import RebootType, RescueArguments

# Told what the driver is at, and how far in percent (0 when it can't know).
Progress = Callable[[str, int], None]


def no_progress(step: str, percent: int) -> None:
    """A `Progress` for callers who don't care."""


class ImageSource(Protocol):
    """Where a driver gets images from: the compute role's view of the image service."""

    async def get(self, image_id: str) -> Image:
        """The image's record. Raises NotFoundError and UnavailableError."""
        ...

    def open(self, image_id: str) -> AsyncIterator[bytes]:
        """The image's data from its first byte, in chunks of any size. Raises what `get` raises."""
        ...


@dataclass(frozen=True, slots=True)
class Boot:
    """What a first start needs beyond the instance itself."""

    config_drive: Mapping[str, bytes] = field(default_factory=dict)
    """Files of the config drive by path, such as `openstack/latest/meta_data.json`; empty for no drive."""
    progress: Progress = no_progress
    """Told of each step, on the event loop."""


class GuestState(NamedTuple):
    """One guest as the hypervisor sees it."""

    instance_id: str
    power_state: PowerState.ValueType


class PowerChange(NamedTuple):
    """A guest that changed its power state, whoever caused it.

    An empty `instance_id` says that the hypervisor was away and is back:
    changes may have been missed, so list the guests anew.
    """

    instance_id: str
    power_state: PowerState.ValueType


ConsoleKind = Literal["vnc", "spice", "serial"]
HostPowerAction = Literal["startup", "shutdown", "reboot"]


class ConsoleEndpoint(NamedTuple):
    """Where a console proxy reaches a guest's console."""

    kind: ConsoleKind
    host: str
    port: int
    # Path of an HTTP CONNECT that the proxy has to send first; empty for none.
    internal_access_path: str = ""


@runtime_checkable
class Lifecycle(Protocol):
    """Guests from their first start to their end."""

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        """Make disks, define the guest and start it; return when it runs.

        Bridges of `instance.interfaces` are there already; the driver makes the
        tap devices by the names given. Raises ImageUnacceptableError,
        ResourceExhaustedError, NotFoundError("image"), UnavailableError, DriverFailureError.
        """
        ...

    async def destroy(self, instance: Instance) -> None:
        """End the guest and remove all that spawn made. Only `instance.id` is needed."""
        ...

    async def power_on(self, instance: Instance) -> None:
        """Start a guest that is off, with the disks it has."""
        ...

    async def power_off(self, instance: Instance, timeout: float = 0) -> None:
        """Ask the guest to shut down, wait `timeout` seconds, then cut the power. 0 cuts it at once."""
        ...

    async def reboot(
        self, instance: Instance, reboot_type: RebootType.ValueType, timeout: float = 120
    ) -> None:
        """Soft: ask the guest to shut down, wait `timeout` seconds, start it; hard when it didn't.

        Hard: cut the power, define the guest anew from `instance`, start it. It
        mends whatever was wrong with the definition.
        """
        ...

    async def pause(self, instance: Instance) -> None:
        """Stop its processors, keep its memory."""
        ...

    async def unpause(self, instance: Instance) -> None:
        """Let a paused guest run on."""
        ...

    async def power_state(self, instance_id: str) -> PowerState.ValueType:
        """What the hypervisor says of it. Raises NotFoundError when it has no such guest."""
        ...


@runtime_checkable
class Inventory(Protocol):
    """What the host has, and who is on it."""

    async def inventory(self) -> HostInventory:
        """The host's resources, before any ratio or reservation."""
        ...

    async def instances(self) -> Sequence[GuestState]:
        """Every guest that this driver made here, running or not; those of others on the same host never."""
        ...

    def watch(self, on_change: Callable[[PowerChange], None]) -> Callable[[], None]:
        """Call `on_change` on the event loop at every change of a power state. Returns what ends that."""
        ...


@runtime_checkable
class Driver(Lifecycle, Inventory, Protocol):
    """The least that a hypervisor driver is."""

    @property
    def name(self) -> str:
        """One word for failures, logs and configuration: `libvirt`, `fake`."""
        ...

    async def start(self) -> None:
        """Reach the hypervisor and put in order what a crash left. May be called again after it failed.

        Raises UnavailableError that names the part and how to get it.
        """
        ...

    async def stop(self) -> None:
        """Let go of the hypervisor. Guests run on."""
        ...


@runtime_checkable
class Suspend(Protocol):
    """Guests whose memory goes to disk and comes back."""

    async def suspend(self, instance: Instance) -> None:
        """Save memory to disk and stop; outlives a reboot of the host."""
        ...

    async def resume(self, instance: Instance) -> None:
        """Go on from saved memory; plain start when there is none."""
        ...


@runtime_checkable
class Console(Protocol):
    """What a guest prints and shows."""

    async def console_output(self, instance_id: str, lines: int | None = None) -> bytes:
        """The end of the serial console's log: the last `lines`, or what the driver keeps (100 KiB or less).

        Raises NotFoundError when it has no such guest.
        """
        ...

    async def console_endpoint(self, instance_id: str, kind: ConsoleKind) -> ConsoleEndpoint:
        """Where a proxy reaches it. Raises NotFoundError, and NotSupportedError for a kind it lacks."""
        ...


@runtime_checkable
class Interfaces(Protocol):
    """Network cards that come and go while the guest runs."""

    async def attach_interface(self, instance: Instance, interface: VirtualInterface) -> None:
        """Plug a card in, now and at every later start."""
        ...

    async def detach_interface(self, instance: Instance, interface: VirtualInterface) -> None:
        """Pull a card; return when the guest has let go of it."""
        ...


class Snapshot(NamedTuple):
    """An image of a root disk, kept on the host until somebody has come for it."""

    size: int
    """Bytes."""
    disk_format: str
    container_format: str


@runtime_checkable
class Snapshots(Protocol):
    """Images taken of a guest's root disk. They are named by the caller and go with the guest."""

    async def take_snapshot(
        self, instance: Instance, snapshot_id: str, progress: Progress = no_progress
    ) -> Snapshot:
        """Copy the root disk as it is at one moment, and keep the copy; a guest that runs goes on meanwhile.

        One of that name is kept as it is; those of other names are removed. Has the guest's agent write out
        the file systems where the image's property hw_qemu_guest_agent says that there is one. Raises
        NotSupportedError("quiesce") when os_require_quiesce asks for that in vain.
        """
        ...

    def read_snapshot(self, instance: Instance, snapshot_id: str) -> AsyncIterator[bytes]:
        """Its data. Only `instance.id` is needed. Raises NotFoundError("snapshot")."""
        ...

    async def drop_snapshot(self, instance: Instance, snapshot_id: str) -> None:
        """Remove it, whole or not, if it is there. Only `instance.id` is needed."""
        ...


@runtime_checkable
class Rescue(Protocol):
    """Guests started from another image, to be mended from there."""

    async def rescue(
        self, instance: Instance, rescue: RescueArguments, boot: Boot, timeout: float = 0
    ) -> None:
        """Fetch the image, have the guest shut down for `timeout` seconds, then start it from a copy.

        Its own root disk becomes the second one; where the image's properties
        hw_rescue_device or hw_rescue_bus are set, its disks stay where they were
        and the rescue disk comes last, and is booted from. A guest that was
        started from this image already is left alone. Raises what `spawn` raises.
        """
        ...

    async def unrescue(self, instance: Instance) -> None:
        """Power off, drop the rescue disk and start as before."""
        ...


@runtime_checkable
class GuestAgent(Protocol):
    """Guests that run an agent for the hypervisor."""

    async def set_admin_password(self, instance: Instance, password: str) -> None:
        """Change the administrator's password inside. The password gets into no log and no message.

        Raises NotSupportedError when the guest has no agent or none answers, and
        DriverFailureError when the agent refuses.
        """
        ...


@runtime_checkable
class ImageCaching(Protocol):
    """A driver that keeps images on the host. Not reported: it is nobody's affair but the host's."""

    async def remove_unused_images(self) -> list[str]:
        """Remove images that no guest has used for long; called now and then. Returns their ids."""
        ...


@runtime_checkable
class ImagePrecaching(Protocol):
    """A driver that can fetch an image before any guest needs it. Not reported: who asks is told."""

    async def cache_image(self, image_id: str) -> bool:
        """Have the image on the host, verified. True when it was fetched now, False when it was there.

        Raises NotFoundError("image"), ImageUnacceptableError, ResourceExhaustedError("disk") and
        UnavailableError.
        """
        ...


@runtime_checkable
class HostPower(Protocol):
    """Hosts that obey as machines. Not reported: it is asked for seldom, and by name."""

    async def run_host_power_action(self, action: HostPowerAction) -> None:
        """Power the host on or off, or restart it. Guests are not asked."""
        ...

    async def set_host_maintenance(self, maintenance: bool) -> None:
        """Put the hypervisor into its maintenance mode, or back to work."""
        ...


# Names as HostInventory.capabilities reports them.
_ABILITIES: Mapping[str, type] = {
    "suspend": Suspend,
    "console": Console,
    "interfaces": Interfaces,
    "snapshots": Snapshots,
    "rescue": Rescue,
    "guest_agent": GuestAgent,
    "resize": Resize,
    "cold_migration": ColdMigration,
    "live_migration": LiveMigration,
}


def capabilities(driver: object) -> list[str]:
    """Names of the optional abilities that a driver has, in a fixed order."""
    return [name for name, ability in _ABILITIES.items() if isinstance(driver, ability)]

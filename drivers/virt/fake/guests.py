"""Rebuild, rescue, agent, interrupts and counters of the fake driver's guests."""

from drivers.virt.fake.hypervisor import OFF, FakeHypervisor
from drivers.virt.fake.lifecycle import check_fit
from drivers.virt.protocols import Boot, ImageSource
from novamesh.failures import DriverFailureError
from novamesh.types.v1.diagnostics_pb2 import (
    CpuDiagnostics,
    Diagnostics,
    DiskDiagnostics,
    MemoryDiagnostics,
    NicDiagnostics,
)
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    Instance,
)
from novamesh.types.v1.operation_pb2 import RescueArguments


class FakeRebuild:
    """The Protocol Rebuild."""

    hypervisor: FakeHypervisor
    _images: ImageSource | None

    async def rebuild(
        self, instance: Instance, boot: Boot, *, power_on: bool = True, preserve_ephemeral: bool = False
    ) -> None:
        """A new guest in place of the old one; its image's record is looked at."""
        await self.hypervisor.begin("rebuild", instance)
        if self._images is not None and instance.image_id:
            boot.progress("fetching image", 0)
            check_fit(instance, await self._images.get(instance.image_id))
        self.hypervisor.drop(instance.id)
        self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)
        if power_on:
            self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)


class FakeRescue:
    """The Protocol Rescue."""

    hypervisor: FakeHypervisor
    _images: ImageSource | None

    async def rescue(
        self, instance: Instance, rescue: RescueArguments, boot: Boot, timeout: float = 0
    ) -> None:
        """Off, then on from the image, whose record is looked at."""
        await self.hypervisor.begin("rescue", instance)
        if self._images is not None:
            boot.progress("fetching image", 0)
            # The rescue disk is as large as its image.
            check_fit(Instance(), await self._images.get(rescue.image_id))
        guest = self.hypervisor.guests.get(instance.id)
        if guest is not None and guest.state not in OFF:
            if guest.rescue_image == rescue.image_id:
                return
            self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)
        self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)
        self.hypervisor.guest(instance.id).rescue_image = rescue.image_id

    async def unrescue(self, instance: Instance) -> None:
        """Off, then on as before."""
        await self.hypervisor.begin("unrescue", instance)
        guest = self.hypervisor.guests.get(instance.id)
        if guest is not None and guest.state not in OFF:
            if not guest.rescue_image:
                return
            self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)
        self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)
        self.hypervisor.guest(instance.id).rescue_image = ""


class FakeGuestAgent:
    """The Protocol GuestAgent: every guest obeys, whatever its image says, as with Nova's fake driver."""

    hypervisor: FakeHypervisor

    async def set_admin_password(self, instance: Instance, password: str) -> None:
        """Note in the guest that it was set."""
        await self.hypervisor.begin("set_admin_password", instance)
        self.hypervisor.guest(instance.id).password = password


class FakeNmi:
    """The Protocol Nmi."""

    hypervisor: FakeHypervisor

    async def inject_nmi(self, instance: Instance) -> None:
        """The guest prints that it came."""
        await self.hypervisor.begin("inject_nmi", instance)
        guest = self.hypervisor.guest(instance.id)
        if guest.state in OFF:
            raise DriverFailureError("fake", "inject_nmi", f"Guest {instance.id} is off.")
        guest.console.append(b"fake guest %s: NMI received\n" % instance.id.encode())


class FakeGuestDiagnostics:
    """The Protocol GuestDiagnostics."""

    hypervisor: FakeHypervisor

    async def diagnostics(self, instance_id: str) -> Diagnostics:
        """One of everything, with numbers that never change."""
        await self.hypervisor.begin("diagnostics", Instance(id=instance_id))
        guest = self.hypervisor.guest(instance_id)
        # Clients know Nova's drivers only, and its own fake one says the same.
        shown = Diagnostics(
            power_state=guest.state, driver="libvirt", hypervisor="fake", hypervisor_os="linux"
        )
        if guest.state in OFF:
            return shown
        shown.memory.CopyFrom(
            MemoryDiagnostics(maximum_kib=524288, used_kib=65536, others={"actual": 524288, "rss": 65536})
        )
        shown.cpus.append(CpuDiagnostics(id=0, time_ns=17_300_000_000, utilisation=15))
        shown.nics.append(
            NicDiagnostics(
                device="tap0", mac_address="fa:16:3e:00:00:01",
                rx_bytes=2070139, rx_packets=26701, rx_errors=0, rx_drop=0,
                tx_bytes=140208, tx_packets=662, tx_errors=0, tx_drop=0,
            )
        )  # fmt: skip
        shown.disks.append(
            DiskDiagnostics(
                device="vda", read_bytes=262144, read_requests=112, write_bytes=5778432, write_requests=488,
                errors=0,
            )
        )  # fmt: skip
        return shown

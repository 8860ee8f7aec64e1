"""Lifecycle and suspension of the fake driver's guests."""

from drivers.virt.fake.hypervisor import OFF, FakeHypervisor
from drivers.virt.fake.kept import forget, mend
from drivers.virt.protocols import Boot, ImageSource
from novamesh.failures import ImageUnacceptableError
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, Image
from novamesh.types.v1.instance_pb2 import (
    POWER_STATE_PAUSED,
    POWER_STATE_RUNNING,
    POWER_STATE_SHUTDOWN,
    POWER_STATE_SUSPENDED,
    Instance,
    PowerState,
)
from novamesh.types.v1.operation_pb2 import REBOOT_TYPE_HARD, RebootType

GIB = 1024**3


class FakeLifecycle:
    """The Protocol Lifecycle."""

    def __init__(self, hypervisor: FakeHypervisor, images: ImageSource | None) -> None:
        self.hypervisor = hypervisor
        self._images = images

    async def spawn(self, instance: Instance, boot: Boot) -> None:
        """Add the guest; its image's record is looked at, the data never fetched."""
        await self.hypervisor.begin("spawn", instance)
        if self._images is not None and instance.image_id:
            boot.progress("fetching image", 0)
            check_fit(instance, await self._images.get(instance.image_id))
        guest = self.hypervisor.guests.get(instance.id)
        if guest is None or guest.state in OFF:
            boot.progress("starting guest", 0)
            self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)
        self.hypervisor.guest(instance.id).flavor = instance.flavor

    async def destroy(self, instance: Instance) -> None:
        """Drop the guest, and what was kept aside of it; it isn't expected any more either."""
        await self.hypervisor.begin("destroy", instance)
        forget(self.hypervisor, instance.id)
        self.hypervisor.unexpect(instance.id)
        self.hypervisor.drop(instance.id)

    async def power_on(self, instance: Instance) -> None:
        """RUNNING; the guest is made anew when it is lost, as real drivers do."""
        await self.hypervisor.begin("power_on", instance)
        mend(self.hypervisor, instance.id)
        guest = self.hypervisor.guests.get(instance.id)
        if guest is None or guest.state in (*OFF, POWER_STATE_SUSPENDED):
            self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)

    async def power_off(self, instance: Instance, timeout: float = 0) -> None:
        """SHUTDOWN; a fake guest obeys at once."""
        await self.hypervisor.begin("power_off", instance)
        if self.hypervisor.guest(instance.id).state not in OFF:
            self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)

    async def reboot(
        self, instance: Instance, reboot_type: RebootType.ValueType, timeout: float = 120
    ) -> None:
        """Off and on; a hard one makes a lost guest anew."""
        await self.hypervisor.begin("reboot", instance)
        mend(self.hypervisor, instance.id)
        if reboot_type != REBOOT_TYPE_HARD:
            self.hypervisor.guest(instance.id)
        self.hypervisor.enter(instance.id, POWER_STATE_SHUTDOWN)
        self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)
        if reboot_type == REBOOT_TYPE_HARD:
            self.hypervisor.guest(instance.id).rescue_image = ""

    async def pause(self, instance: Instance) -> None:
        """PAUSED."""
        await self.hypervisor.begin("pause", instance)
        self.hypervisor.move(instance.id, POWER_STATE_RUNNING, POWER_STATE_PAUSED, "pause")

    async def unpause(self, instance: Instance) -> None:
        """RUNNING again."""
        await self.hypervisor.begin("unpause", instance)
        self.hypervisor.move(instance.id, POWER_STATE_PAUSED, POWER_STATE_RUNNING, "unpause")

    async def power_state(self, instance_id: str) -> PowerState.ValueType:
        """As entered last."""
        return self.hypervisor.guest(instance_id).state


class FakeSuspend:
    """The Protocol Suspend."""

    hypervisor: FakeHypervisor

    async def suspend(self, instance: Instance) -> None:
        """SUSPENDED."""
        await self.hypervisor.begin("suspend", instance)
        if self.hypervisor.guest(instance.id).state == POWER_STATE_PAUSED:
            self.hypervisor.enter(instance.id, POWER_STATE_SUSPENDED)
        self.hypervisor.move(instance.id, POWER_STATE_RUNNING, POWER_STATE_SUSPENDED, "suspend")

    async def resume(self, instance: Instance) -> None:
        """RUNNING again."""
        await self.hypervisor.begin("resume", instance)
        if self.hypervisor.guest(instance.id).state != POWER_STATE_RUNNING:
            self.hypervisor.enter(instance.id, POWER_STATE_RUNNING)


def check_fit(instance: Instance, image: Image) -> None:
    """Refuse what a real driver would, as far as the image's record tells."""
    if image.status != IMAGE_STATUS_ACTIVE:
        raise ImageUnacceptableError(image.id, "status", f"Image {image.id} has no data that can be used.")
    size = max(image.size, image.virtual_size)
    root = instance.flavor.root_gb * GIB
    if root and size > root:
        raise ImageUnacceptableError(
            image.id,
            "size",
            f"Image {image.id} needs {size} bytes, and the flavor's root disk has {root}.",
        )

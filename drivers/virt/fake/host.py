"""The fake driver's host as a machine: its power, and the images on its disk."""

from drivers.virt.fake.hypervisor import FakeHypervisor
from drivers.virt.protocols import HostPowerAction, ImageSource
from novamesh.failures import ImageUnacceptableError
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE
from novamesh.types.v1.instance_pb2 import Instance


class FakeHostPower:
    """The Protocol HostPower: remembers what was asked, and the pretended host stays as it is."""

    hypervisor: FakeHypervisor

    async def run_host_power_action(self, action: HostPowerAction) -> None:
        """Note it in `hypervisor.power_actions`; guests run on."""
        await self.hypervisor.begin("run_host_power_action", Instance())
        self.hypervisor.power_actions.append(action)

    async def set_host_maintenance(self, maintenance: bool) -> None:
        """Note it in `hypervisor.maintenance`; guests stay."""
        await self.hypervisor.begin("set_host_maintenance", Instance())
        self.hypervisor.maintenance = maintenance


class FakeImagePrecaching:
    """The Protocol ImagePrecaching: ids of images whose records were good."""

    hypervisor: FakeHypervisor
    _images: ImageSource | None

    async def cache_image(self, image_id: str) -> bool:
        """Look at the image's record and remember its id in `hypervisor.cached_images`."""
        await self.hypervisor.begin("cache_image", Instance())
        if image_id in self.hypervisor.cached_images:
            return False
        if self._images is not None:
            image = await self._images.get(image_id)
            if image.status != IMAGE_STATUS_ACTIVE:
                raise ImageUnacceptableError(image_id, "status", f"Image {image_id} is not active.")
        self.hypervisor.cached_images.add(image_id)
        return True

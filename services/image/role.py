"""The image role: the servicers around a driver."""

from collections.abc import Sequence

import structlog

from drivers.image import ImageDriver
from novamesh.image.v1 import image_service_pb2, member_service_pb2
from services.image.images import ImageServicer
from services.image.members import MemberServicer
from services.image.options import ImageOptions
from services.image.uploads import Uploads
from services.mesh import Binding, Node

log = structlog.get_logger("novamesh.image")


class ImageRole:
    """Keeps images. The driver says where."""

    name = "image"

    def __init__(self, node: Node, options: ImageOptions, driver: ImageDriver) -> None:
        self._driver = driver
        self._images = ImageServicer(driver, options, Uploads(node, driver, options))
        self._members = MemberServicer(driver, options)

    def bindings(self) -> Sequence[Binding]:
        """ImageService and MemberService."""
        return (
            Binding(image_service_pb2.DESCRIPTOR.services_by_name["ImageService"], self._images),
            Binding(member_service_pb2.DESCRIPTOR.services_by_name["MemberService"], self._members),
        )

    async def start(self) -> None:
        """Start the driver; raises what names its missing part."""
        await self._driver.start()
        log.info("image role ready", driver=self._driver.name)

    async def stop(self) -> None:
        """Stop the driver."""
        await self._driver.stop()

"""Which compute host may upload into which image: the one that the conductor has given that work."""

from drivers.image import Change, ImageDriver
from novamesh.conductor.v1.operation_service_pb2 import CheckUploadRequest
from novamesh.conductor.v1.operation_service_pb2_grpc import OperationServiceStub
from novamesh.failures import PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import UploadStart
from novamesh.types.v1.image_pb2 import Image
from services.image.checks import check_fields
from services.image.options import ImageOptions
from services.image.rules import owned_image, viewer_of
from services.mesh import Call, Node

# A host can name any user it likes, so that whom it names doesn't matter.
_CONFINED = frozenset({"compute"})


class Uploads:
    """Settles where data goes before the first byte of it is taken."""

    def __init__(self, node: Node, driver: ImageDriver, options: ImageOptions) -> None:
        self._node = node
        self._driver = driver
        self._options = options

    async def target(self, start: UploadStart, call: Call) -> Image:
        """The image to upload to, in any state.

        Raises PermissionDeniedError for a host without such an operation and for a user who may not change
        the image, and NotFoundError.
        """
        if call.peer.role not in _CONFINED:
            viewer = viewer_of(call, reading=False)
            return await owned_image(self._driver, viewer, start.image_id, "upload_image")
        if not start.operation_id:
            raise PermissionDeniedError(call.method, "A compute host uploads for an operation, and names it.")
        stub = OperationServiceStub(self._node.channel("conductor"))
        await stub.CheckUpload(
            CheckUploadRequest(operation_id=start.operation_id, image_id=start.image_id, host=call.peer.host)
        )
        return await self._driver.get(start.image_id)

    async def with_formats(self, image: Image, start: UploadStart) -> Image:
        """A queued image, with the formats of its data written down where its record names none."""
        given = Image(disk_format=start.disk_format, container_format=start.container_format)
        missing = [
            name
            for name in ("disk_format", "container_format")
            if getattr(given, name) and not getattr(image, name)
        ]
        if not missing:
            return image
        check_fields(given, missing, self._options)
        return await self._driver.update(Change(image.id, given, missing))

"""The images of the cloud, as drivers get them."""

from collections.abc import AsyncIterator

from novamesh.failures import NotFoundError
from novamesh.image.v1.image_service_pb2 import DownloadImageRequest, GetImageRequest
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import Image
from services.mesh import Node

# Seconds that a whole download may take: large images over slow lines.
DOWNLOAD_TIMEOUT = 6 * 3600.0


class MeshImages:
    """The `ImageSource` of `drivers.virt`, from the image role.

    Work on guests calls as the cloud itself and not for a user, so an image that
    was good when the instance was accepted stays so until it is built.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    async def get(self, image_id: str) -> Image:
        """The image's record. Raises NotFoundError and UnavailableError."""
        stub = ImageServiceStub(self._node.channel("image"))
        answer = await stub.GetImage(GetImageRequest(image_id=image_id))
        return answer.image

    async def open(self, image_id: str) -> AsyncIterator[bytes]:
        """The image's data from its first byte. Raises what DownloadImage fails with."""
        if not image_id:
            raise NotFoundError("image", image_id, "No image was named.")
        stub = ImageServiceStub(self._node.channel("image"))
        stream = stub.DownloadImage(DownloadImageRequest(image_id=image_id), timeout=DOWNLOAD_TIMEOUT)
        async for message in stream:
            if message.WhichOneof("payload") == "chunk":
                yield message.chunk

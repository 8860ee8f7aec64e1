"""An image role that keeps in memory what compute hosts upload to it."""

from collections.abc import AsyncIterator

from novamesh.failures import ImageUnacceptableError
from novamesh.image.v1 import image_service_pb2 as pb
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, IMAGE_STATUS_QUEUED, Image
from services.mesh import Binding, Call
from services.mesh.testing import ServiceRole


class ImageSink:
    """Every image is there and has no data, until some is uploaded to it."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def role(self) -> ServiceRole:
        """It, as a role."""
        return ServiceRole("image", [Binding(pb.DESCRIPTOR.services_by_name["ImageService"], self)])

    async def GetImage(self, request: pb.GetImageRequest, call: Call) -> pb.GetImageResponse:
        """The record of any image."""
        status = IMAGE_STATUS_ACTIVE if request.image_id in self.data else IMAGE_STATUS_QUEUED
        return pb.GetImageResponse(image=Image(id=request.image_id, status=status))

    async def UploadImage(
        self, requests: AsyncIterator[pb.UploadImageRequest], call: Call
    ) -> pb.UploadImageResponse:
        """Keep the data; refused when it is not as much as announced."""
        parts = [part async for part in requests]
        start = parts[0].start
        data = b"".join(part.chunk for part in parts[1:])
        if len(data) != start.size:
            raise ImageUnacceptableError(
                start.image_id, "size", f"{len(data)} bytes came in place of {start.size}"
            )
        self.data[start.image_id] = data
        return pb.UploadImageResponse(image=Image(id=start.image_id, status=IMAGE_STATUS_ACTIVE))

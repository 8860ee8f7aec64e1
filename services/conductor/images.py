"""Records of images, for the image role's local driver."""

from db import images
from db.database import Database
from db.image_queries import ImagePage
from novamesh.conductor.v1.image_service_pb2 import (
    CreateImageRequest,
    CreateImageResponse,
    DeleteImageRequest,
    DeleteImageResponse,
    GetImageRequest,
    GetImageResponse,
    ListImagesRequest,
    ListImagesResponse,
    UpdateImageRequest,
    UpdateImageResponse,
)
from novamesh.types.v1.image_pb2 import Image
from services.mesh import Call


class ImageServicer:
    """Answers novamesh.conductor.v1.ImageService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateImage(self, request: CreateImageRequest, call: Call) -> CreateImageResponse:
        """Write a new record."""
        image = await self._database.write(lambda c: images.create(c, request.image, request.request_id))
        return CreateImageResponse(image=image)

    async def GetImage(self, request: GetImageRequest, call: Call) -> GetImageResponse:
        """One record."""
        return GetImageResponse(image=await self._database.read(lambda c: images.get(c, request.image_id)))

    async def ListImages(self, request: ListImagesRequest, call: Call) -> ListImagesResponse:
        """A page of records."""
        page = ImagePage(
            request.query,
            request.viewer_project_id,
            request.all_projects,
            request.page_size,
            request.page_token,
        )
        found, token = await self._database.read(lambda c: images.list_page(c, page))
        return ListImagesResponse(images=found, next_page_token=token)

    async def UpdateImage(self, request: UpdateImageRequest, call: Call) -> UpdateImageResponse:
        """Write fields of a record."""
        new = Image()
        new.CopyFrom(request.image)
        new.id = request.image_id
        written = await self._database.write(
            lambda c: images.write(
                c,
                new,
                request.update_mask.paths,
                generation=request.generation,
                from_statuses=request.from_statuses,
            )
        )
        return UpdateImageResponse(image=written)

    async def DeleteImage(self, request: DeleteImageRequest, call: Call) -> DeleteImageResponse:
        """Drop a record."""
        gone = await self._database.write(lambda c: images.remove(c, request.image_id))
        return DeleteImageResponse(image=gone)

"""Images: records under the Image API's rules, and streams of data."""

import uuid
from collections.abc import AsyncIterator

import structlog
from prometheus_client import Counter

from drivers.image import Change, ImageDriver, Listing, Upload
from novamesh.failures import ImageUnacceptableError, InvalidArgumentError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import (
    CreateImageRequest,
    CreateImageResponse,
    DeactivateImageRequest,
    DeactivateImageResponse,
    DeleteImageRequest,
    DeleteImageResponse,
    DownloadImageRequest,
    DownloadImageResponse,
    GetImageRequest,
    GetImageResponse,
    ListImagesRequest,
    ListImagesResponse,
    ReactivateImageRequest,
    ReactivateImageResponse,
    UpdateImageRequest,
    UpdateImageResponse,
    UploadImageRequest,
    UploadImageResponse,
    UploadStart,
)
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_ACTIVE,
    IMAGE_STATUS_DEACTIVATED,
    IMAGE_STATUS_QUEUED,
    IMAGE_VISIBILITY_SHARED,
    Image,
    ImageStatus,
)
from services.image.checks import CHANGEABLE, check_fields, check_id, check_paths
from services.image.options import ImageOptions
from services.image.rules import Viewer, owned_image, owns, viewer_of, visible_image
from services.image.uploads import Uploads
from services.mesh import Call

log = structlog.get_logger("novamesh.image")

_NAMESPACE = uuid.UUID("0c1d4a1e-8f5b-4a0e-9a35-0d6b1f5a9d10")

_uploaded = Counter("novamesh_image_uploaded_bytes", "Bytes of image data taken in")
_downloaded = Counter("novamesh_image_downloaded_bytes", "Bytes of image data handed out")


class ImageServicer:
    """Answers novamesh.image.v1.ImageService."""

    def __init__(self, driver: ImageDriver, options: ImageOptions, uploads: Uploads) -> None:
        self._driver = driver
        self._options = options
        self._uploads = uploads

    async def CreateImage(self, request: CreateImageRequest, call: Call) -> CreateImageResponse:
        """Record a queued image."""
        viewer = viewer_of(call, reading=False)
        asked = request.image
        owner = asked.owner or viewer.project_id
        if not viewer.unbounded and owner != viewer.project_id:
            raise PermissionDeniedError(
                "add_image", f"You are not permitted to create images owned by '{owner}'."
            )
        if asked.id:
            check_id(asked.id)
        check_fields(asked, CHANGEABLE, self._options)
        image = Image(
            id=asked.id or _new_id(request.request_id),
            name=asked.name,
            status=IMAGE_STATUS_QUEUED,
            visibility=asked.visibility or IMAGE_VISIBILITY_SHARED,
            owner=owner,
            disk_format=asked.disk_format,
            container_format=asked.container_format,
            min_disk_gb=asked.min_disk_gb,
            min_ram_mb=asked.min_ram_mb,
            protected=asked.protected,
            hidden=asked.hidden,
            tags=sorted(set(asked.tags)),
            properties=asked.properties,
        )
        return CreateImageResponse(image=await self._driver.create(image, request.request_id))

    async def GetImage(self, request: GetImageRequest, call: Call) -> GetImageResponse:
        """One record."""
        viewer = viewer_of(call, reading=True)
        return GetImageResponse(image=await visible_image(self._driver, viewer, request.image_id))

    async def ListImages(self, request: ListImagesRequest, call: Call) -> ListImagesResponse:
        """A page of records."""
        viewer = viewer_of(call, reading=True)
        size = request.page_size or self._options.limit_param_default
        listing = Listing(
            query=request.query,
            viewer_project_id=viewer.project_id,
            all_projects=viewer.unbounded,
            page_size=max(1, min(size, self._options.api_limit_max)),
            page_token=request.page_token,
        )
        page = await self._driver.list_images(listing)
        return ListImagesResponse(images=page.images, next_page_token=page.next_page_token)

    async def UpdateImage(self, request: UpdateImageRequest, call: Call) -> UpdateImageResponse:
        """Change fields of a record."""
        viewer = viewer_of(call, reading=False)
        image = await owned_image(self._driver, viewer, request.image_id, "modify_image")
        paths = list(request.update_mask.paths)
        check_paths(paths, image, may_give_away=viewer.unbounded)
        check_fields(request.image, paths, self._options)
        if not paths:
            return UpdateImageResponse(image=image)
        new = Image()
        new.CopyFrom(request.image)
        if "tags" in paths:
            new.tags[:] = sorted(set(new.tags))
        if "visibility" in paths and not new.visibility:
            new.visibility = IMAGE_VISIBILITY_SHARED
        change = Change(request.image_id, new, paths, request.generation)
        return UpdateImageResponse(image=await self._driver.update(change))

    async def DeleteImage(self, request: DeleteImageRequest, call: Call) -> DeleteImageResponse:
        """Remove an image and its data."""
        viewer = viewer_of(call, reading=False)
        image = await owned_image(self._driver, viewer, request.image_id, "delete_image")
        if image.protected:
            raise PermissionDeniedError(
                "delete_image", f"Image {image.id} is protected and cannot be deleted."
            )
        await self._driver.delete(request.image_id)
        return DeleteImageResponse()

    async def DeactivateImage(self, request: DeactivateImageRequest, call: Call) -> DeactivateImageResponse:
        """Keep an image's data from everybody but administrators."""
        return DeactivateImageResponse(image=await self._set_active(request.image_id, False, call))

    async def ReactivateImage(self, request: ReactivateImageRequest, call: Call) -> ReactivateImageResponse:
        """Take a deactivation back."""
        return ReactivateImageResponse(image=await self._set_active(request.image_id, True, call))

    async def UploadImage(
        self, requests: AsyncIterator[UploadImageRequest], call: Call
    ) -> UploadImageResponse:
        """Store the data of a queued image."""
        start = await _first(requests)
        image = await self._uploads.target(start, call)
        _require(image, (IMAGE_STATUS_QUEUED,), "uploaded to")
        image = await self._uploads.with_formats(image, start)
        for field in ("disk_format", "container_format"):
            if not getattr(image, field):
                raise InvalidArgumentError(field, f"Properties {field} must be set prior to saving data.")
        upload = Upload(
            image,
            start.size if start.HasField("size") else None,
            start.checksum,
            self._options.image_size_cap,
        )
        done = await self._driver.upload(upload, _chunks(requests))
        log.info("image uploaded", image_id=done.id, size=done.size, owner=done.owner)
        return UploadImageResponse(image=done)

    async def DownloadImage(
        self, request: DownloadImageRequest, call: Call
    ) -> AsyncIterator[DownloadImageResponse]:
        """The record, then the data or a range of it."""
        viewer = viewer_of(call, reading=True)
        image = await visible_image(self._driver, viewer, request.image_id)
        if image.status == IMAGE_STATUS_DEACTIVATED and not viewer.unbounded:
            raise PermissionDeniedError("download_image", "The requested image has been deactivated.")
        _require(image, (IMAGE_STATUS_ACTIVE, IMAGE_STATUS_DEACTIVATED), "downloaded")
        offset, length = request.offset, request.length
        if not 0 <= offset <= image.size or length < 0:
            raise InvalidArgumentError("offset", f"The image has {image.size} bytes; the range is outside.")
        length = min(length or image.size, image.size - offset)
        yield DownloadImageResponse(image=image)
        if length:
            async for chunk in self._driver.download(image, offset, length):
                _downloaded.inc(len(chunk))
                yield DownloadImageResponse(chunk=chunk)

    async def _set_active(self, image_id: str, active: bool, call: Call) -> Image:
        viewer: Viewer = viewer_of(call, reading=False)
        image = await visible_image(self._driver, viewer, image_id)
        rule = "reactivate" if active else "deactivate"
        if not owns(viewer, image):
            raise PermissionDeniedError(rule)
        _require(image, (IMAGE_STATUS_ACTIVE, IMAGE_STATUS_DEACTIVATED), f"{rule}d")
        if (image.status == IMAGE_STATUS_ACTIVE) == active:
            return image
        return await self._driver.set_active(image_id, active)


def _new_id(request_id: str) -> str:
    """The same id for the same request, so that a driver without idempotency keys has one in the id."""
    return str(uuid.uuid5(_NAMESPACE, request_id) if request_id else uuid.uuid4())


async def _first(requests: AsyncIterator[UploadImageRequest]) -> UploadStart:
    async for request in requests:
        if request.WhichOneof("payload") == "start":
            return request.start
        break
    raise InvalidArgumentError("start", "The first message of an upload must name the image.")


async def _chunks(requests: AsyncIterator[UploadImageRequest]) -> AsyncIterator[bytes]:
    async for request in requests:
        if request.WhichOneof("payload") != "chunk":
            raise InvalidArgumentError("start", "Only the first message of an upload may name an image.")
        if request.chunk:
            _uploaded.inc(len(request.chunk))
            yield request.chunk


def _require(image: Image, allowed: tuple[ImageStatus.ValueType, ...], verb: str) -> None:
    if image.status not in allowed:
        state = ImageStatus.Name(image.status).removeprefix("IMAGE_STATUS_").lower()
        wanted = " or ".join(ImageStatus.Name(s).removeprefix("IMAGE_STATUS_").lower() for s in allowed)
        raise ImageUnacceptableError(
            image.id, "status", f"Image {image.id} is {state}; it can be {verb} only when {wanted}."
        )

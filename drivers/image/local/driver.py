"""The local image driver: data in files, records in the conductor."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextvars import Context
from typing import TYPE_CHECKING

import structlog
from google.protobuf.field_mask_pb2 import FieldMask

from drivers.image import Change, Listing, MemberDriver, Page, Upload
from drivers.image.local.files import HASH_ALGORITHM, ImageFiles, IncomingFile
from drivers.image.local.members import LocalMembers
from drivers.image.local.options import LocalImageOptions
from novamesh.conductor.v1.image_service_pb2 import (
    CreateImageRequest,
    DeleteImageRequest,
    GetImageRequest,
    ListImagesRequest,
    UpdateImageRequest,
)
from novamesh.failures import Failure, ImageUnacceptableError, NotFoundError, PermissionDeniedError
from novamesh.types.v1.image_pb2 import (
    IMAGE_STATUS_ACTIVE,
    IMAGE_STATUS_DEACTIVATED,
    IMAGE_STATUS_QUEUED,
    IMAGE_STATUS_SAVING,
    Image,
    ImageStatus,
)
from novamesh.types.v1.image_query_pb2 import ImageQuery

if TYPE_CHECKING:
    from novamesh.conductor.v1.image_member_service_pb2_grpc import ImageMemberServiceAsyncStub
    from novamesh.conductor.v1.image_service_pb2_grpc import ImageServiceAsyncStub

log = structlog.get_logger("novamesh.image")

# Seconds that a record call may take.
_TIMEOUT = 30.0
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0


class LocalImageDriver:
    """Implements ImageDriver.

    `records` and `member_records` are stubs of novamesh.conductor.v1's services,
    on whatever channel the composition root chose.
    """

    name = "local"

    def __init__(
        self,
        options: LocalImageOptions,
        records: "ImageServiceAsyncStub",
        member_records: "ImageMemberServiceAsyncStub",
    ) -> None:
        self._files = ImageFiles(options.filesystem_store_datadir)
        self._records = records
        self.members: MemberDriver = LocalMembers(member_records)
        self._recovery: asyncio.Task[None] | None = None
        self._cleaning: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Prepare the folder, and settle what a crash left as soon as the conductor answers."""
        await self._files.run(self._files.prepare)
        self._recover_soon()

    async def stop(self) -> None:
        """End the threads; uploads under way fail and are cleaned up by the next start."""
        if self._recovery is not None:
            self._recovery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recovery
        if self._cleaning:
            await asyncio.wait(self._cleaning)
        self._files.close()

    async def recover(self) -> None:
        """Queue images again whose upload died, and end deletions that were begun."""
        saving = ListImagesRequest(query=ImageQuery(statuses=[IMAGE_STATUS_SAVING]), all_projects=True)
        for image in (await self._records.ListImages(saving, timeout=_TIMEOUT)).images:
            if not await self._files.run(self._files.is_uploading, image.id):
                await self._queue_again(image.id)
        for image_id in await self._files.run(self._files.marked):
            try:
                await self.get(image_id)
                await self._files.run(self._files.unmark, image_id)
            except NotFoundError:
                log.info("deletion ended", image_id=image_id)
                await self._files.run(self._files.remove, image_id)

    async def create(self, image: Image, request_id: str) -> Image:
        """As in ImageDriver."""
        request = CreateImageRequest(image=image, request_id=request_id)
        return (await self._records.CreateImage(request, timeout=_TIMEOUT)).image

    async def get(self, image_id: str) -> Image:
        """As in ImageDriver."""
        return (await self._records.GetImage(GetImageRequest(image_id=image_id), timeout=_TIMEOUT)).image

    async def list_images(self, listing: Listing) -> Page:
        """As in ImageDriver."""
        request = ListImagesRequest(
            query=listing.query,
            viewer_project_id=listing.viewer_project_id,
            all_projects=listing.all_projects,
            page_size=listing.page_size,
            page_token=listing.page_token,
        )
        answer = await self._records.ListImages(request, timeout=_TIMEOUT)
        return Page(answer.images, answer.next_page_token)

    async def update(self, change: Change) -> Image:
        """As in ImageDriver."""
        request = UpdateImageRequest(
            image_id=change.image_id,
            image=change.image,
            update_mask=FieldMask(paths=change.paths),
            generation=change.generation,
        )
        return (await self._records.UpdateImage(request, timeout=_TIMEOUT)).image

    async def delete(self, image_id: str) -> None:
        """As in ImageDriver."""
        await self._files.run(self._files.mark, image_id)
        try:
            await self._records.DeleteImage(DeleteImageRequest(image_id=image_id), timeout=_TIMEOUT)
        except (NotFoundError, PermissionDeniedError):
            await self._files.run(self._files.unmark, image_id)
            raise
        await self._files.run(self._files.remove, image_id)

    async def set_active(self, image_id: str, active: bool) -> Image:
        """As in ImageDriver."""
        status = IMAGE_STATUS_ACTIVE if active else IMAGE_STATUS_DEACTIVATED
        return await self._move(
            Image(id=image_id, status=status), [IMAGE_STATUS_ACTIVE, IMAGE_STATUS_DEACTIVATED]
        )

    async def upload(self, upload: Upload, data: AsyncIterator[bytes]) -> Image:
        """As in ImageDriver."""
        image_id = upload.image.id
        refused = False
        try:
            async with self._files.incoming(upload) as incoming:
                try:
                    # The file is locked before the record says saving, so that a saving
                    # record without a locked file can only be a dead upload.
                    await self._move(Image(id=image_id, status=IMAGE_STATUS_SAVING), [IMAGE_STATUS_QUEUED])
                except (ImageUnacceptableError, NotFoundError):
                    refused = True
                    raise
                return await self._fill(incoming, image_id, data)
        except BaseException:
            # Also on cancellation: the user is gone, the record must not say saving for ever. In a
            # context of its own, because the deadline of the upload's call may be what ended it.
            if not refused:
                taken_back = asyncio.create_task(self._take_back(image_id), context=Context())
                self._cleaning.add(taken_back)
                taken_back.add_done_callback(self._cleaning.discard)
                await asyncio.shield(taken_back)
            raise

    async def _fill(self, incoming: IncomingFile, image_id: str, data: AsyncIterator[bytes]) -> Image:
        stored = await incoming.fill(data)
        done = Image(
            id=image_id,
            status=IMAGE_STATUS_ACTIVE,
            size=stored.size,
            virtual_size=stored.virtual_size,
            checksum=stored.md5,
            os_hash_algo=HASH_ALGORITHM,
            os_hash_value=stored.sha512,
        )
        try:
            return await self._move(done, [IMAGE_STATUS_SAVING])
        except NotFoundError:
            # Deleted while it was uploaded.
            incoming.discard()
            raise

    def download(self, image: Image, offset: int, length: int) -> AsyncIterator[bytes]:
        """As in ImageDriver."""
        return self._files.read(image.id, offset, length)

    async def _move(self, to: Image, from_statuses: Sequence[ImageStatus.ValueType]) -> Image:
        """Write the status and every other field of `to` that is set, from one of these states only."""
        paths = [field.name for field, _ in to.ListFields() if field.name != "id"]
        if to.status == IMAGE_STATUS_ACTIVE and to.os_hash_value:
            # An empty image has sizes of 0, which ListFields leaves out.
            paths = sorted({*paths, "size", "virtual_size"})
        request = UpdateImageRequest(
            image_id=to.id, image=to, update_mask=FieldMask(paths=paths), from_statuses=from_statuses
        )
        return (await self._records.UpdateImage(request, timeout=_TIMEOUT)).image

    async def _take_back(self, image_id: str) -> None:
        """End a failed upload: now, or when the conductor is there again. Raises nothing."""
        try:
            await self._queue_again(image_id)
        except Failure as failure:
            log.warning("failed upload not taken back yet", image_id=image_id, reason=failure.message)
            self._recover_soon()

    async def _queue_again(self, image_id: str) -> None:
        """Take an image whose upload nobody holds from saving back to queued, without data."""
        # The record decides: it may have become active although nobody heard the answer. What is
        # dropped is the file that was there before, not one that came since.
        left = await self._files.run(self._files.inode, image_id)
        try:
            await self._move(Image(id=image_id, status=IMAGE_STATUS_QUEUED), [IMAGE_STATUS_SAVING])
        except (ImageUnacceptableError, NotFoundError):
            return
        await self._files.run(self._files.remove_inode, image_id, left)
        log.info("upload taken back", image_id=image_id)

    def _recover_soon(self) -> None:
        if self._recovery is None or self._recovery.done():
            self._recovery = asyncio.create_task(self._recover_when_possible(), context=Context())

    async def _recover_when_possible(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self.recover()
                return
            except Failure as failure:
                log.info("image recovery waits", reason=failure.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

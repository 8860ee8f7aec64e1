"""The images that operations make of instances, in the image service: looked at and removed by the cloud
itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

from db import operations
from db.database import Connection
from novamesh.failures import Failure, NotFoundError, PermissionDeniedError
from novamesh.image.v1.image_service_pb2 import DeleteImageRequest, GetImageRequest, ListImagesRequest
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_QUEUED, IMAGE_STATUS_SAVING, Image
from novamesh.types.v1.image_query_pb2 import IMAGE_SORT_KEY_CREATED_AT, ImageQuery, ImageSort
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.operation_pb2 import Operation, OperationKind, OperationState
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import uploads
from services.conductor.workflows.ground import Ground
from services.mesh import calling_as, current_context

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.image.v1.image_service_pb2_grpc import ImageServiceAsyncStub

log = structlog.get_logger("novamesh.conductor")

# Where a shelved instance's image is known.
SHELVED_IMAGE = "shelved_image_id"
# Images in one page of a list.
_PAGE = 1000
_UNFINISHED = (IMAGE_STATUS_QUEUED, IMAGE_STATUS_SAVING)


class OperationImages:
    """See the module. Every method may be called again."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def find(self, image_id: str) -> Image | None:
        """An image's record, None for one that is gone. Raises UnavailableError."""
        with self._as_the_cloud() as images:
            try:
                answer = await images.GetImage(GetImageRequest(image_id=image_id), timeout=self._timeout)
            except NotFoundError:
                return None
            return answer.image

    async def discard(self, image_id: str) -> None:
        """Remove an image that never got its data; one that has it stays. Raises UnavailableError."""
        image = await self.find(image_id)
        if image is not None and image.status in _UNFINISHED:
            await self.remove(image_id)

    async def remove(self, image_id: str) -> None:
        """Remove an image; one that its owner has protected stays. Raises UnavailableError."""
        with self._as_the_cloud() as images:
            try:
                await images.DeleteImage(DeleteImageRequest(image_id=image_id), timeout=self._timeout)
            except NotFoundError:
                return
            except PermissionDeniedError as failure:
                log.info("image kept", image=image_id, reason=failure.message)
                return
        log.info("image removed", image=image_id)

    async def remove_of(self, instance: Instance) -> None:
        """Remove what only makes sense with this instance: the image of a shelved one, also of one that was
        about to be, and those that will never get their data. Raises UnavailableError."""

        def failed(connection: Connection) -> list[Operation]:
            return [
                operation
                for kind in sorted(uploads.UPLOADING)
                for operation in operations.of_instance(connection, instance.id, kind)
                if operation.state != OperationState.OPERATION_STATE_SUCCEEDED
            ]

        for operation in await self._ground.database.read(failed):
            shelving = operation.kind == OperationKind.OPERATION_KIND_SHELVE
            if shelving and operation.state == operations.CANCELLED:
                await self.remove(operation.arguments.snapshot.image_id)
            else:
                await self.discard(operation.arguments.snapshot.image_id)
        if SHELVED_IMAGE in instance.system_metadata:
            await self.remove(instance.system_metadata[SHELVED_IMAGE])

    async def rotate(self, instance: Instance, backup: Image, rotation: int) -> None:
        """Remove the oldest backups of the instance of `backup`'s type, so that `rotation` stay.

        An image that can't be removed is left and logged. Raises UnavailableError.
        """
        query = ImageQuery(
            owner=backup.owner,
            sorts=[ImageSort(key=IMAGE_SORT_KEY_CREATED_AT, descending=True)],
            all_visibilities=True,
        )
        query.properties["instance_uuid"] = instance.id
        query.properties["image_type"] = "backup"
        query.properties["backup_type"] = backup.properties["backup_type"]
        found: list[str] = []
        with self._as_the_cloud() as images:
            token = ""
            while True:
                request = ListImagesRequest(query=query, page_size=_PAGE, page_token=token)
                answer = await images.ListImages(request, timeout=self._timeout)
                found += [image.id for image in answer.images]
                token = answer.next_page_token
                if not token:
                    break
        for image_id in found[rotation:]:
            try:
                await self.remove(image_id)
            except Failure as failure:
                if failure.transient:
                    raise
                log.warning("backup not removed", image=image_id, reason=failure.message)

    @property
    def _timeout(self) -> float:
        return self._ground.options.call_timeout

    @contextmanager
    def _as_the_cloud(self) -> Iterator["ImageServiceAsyncStub"]:
        with calling_as(RequestContext(request_id=current_context().request_id)):
            yield ImageServiceStub(self._ground.node.channel("image"))

"""Have a host take an image of a guest and upload it: what snapshots, backups and shelving share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from db.database import Connection
from db.operations import Work
from novamesh.compute.v1.snapshot_service_pb2 import (
    CancelSnapshotRequest,
    CreateSnapshotRequest,
    UploadSnapshotRequest,
)
from novamesh.compute.v1.snapshot_service_pb2_grpc import SnapshotServiceStub
from novamesh.failures import Failure, NotFoundError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, Image
from novamesh.types.v1.instance_pb2 import Instance, TaskState
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import OperationImages

if TYPE_CHECKING:
    # The generated stubs have this name for type checkers alone.
    from novamesh.compute.v1.snapshot_service_pb2_grpc import SnapshotServiceAsyncStub

log = structlog.get_logger("novamesh.conductor")


@dataclass(frozen=True)
class Tasks:
    """What the instance shows while its image is taken, waits for its upload, and is uploaded."""

    taking: TaskState.ValueType
    pending: TaskState.ValueType
    uploading: TaskState.ValueType


class Taking:
    """See the module. Every method may be called again."""

    def __init__(self, ground: Ground, images: OperationImages) -> None:
        self._ground = ground
        self._images = images

    async def take(self, work: Work, instance: Instance, host: Host, tasks: Tasks) -> Image:
        """Take and upload, unless an earlier attempt has; the image's record as it is then.

        Raises NotFoundError for an image that somebody has deleted, OvertakenError, and what
        SnapshotService fails with.
        """
        operation_id, image_id = work.operation.id, work.operation.arguments.snapshot.image_id
        image = await self._images.find(image_id)
        if image is not None and image.status != IMAGE_STATUS_ACTIVE:
            stub = self._stub(host)
            timeout = self._ground.options.build_timeout
            instance = await self._show(work, tasks.taking)
            await stub.CreateSnapshot(
                CreateSnapshotRequest(operation_id=operation_id, instance=instance, image_id=image_id),
                timeout=timeout,
            )
            await self._show(work, tasks.pending)
            instance = await self._show(work, tasks.uploading)
            await stub.UploadSnapshot(
                UploadSnapshotRequest(operation_id=operation_id, instance=instance, image_id=image_id),
                timeout=timeout,
            )
            image = await self._images.find(image_id)
        if image is None:
            raise NotFoundError("image", image_id)
        return image

    async def cancel(self, work: Work) -> None:
        """Remove what an operation that is given up has left: on the host, and the image without data.

        Never fails: the host removes it with the guest or with the next snapshot, the delete of the instance
        the image.
        """
        instance, host = await self._ground.read(work.operation.instance_id)
        image_id = work.operation.arguments.snapshot.image_id
        request = CancelSnapshotRequest(operation_id=work.operation.id, instance=instance, image_id=image_id)
        try:
            if host is not None and host.up:
                await self._stub(host).CancelSnapshot(request, timeout=self._ground.options.call_timeout)
        except Failure as failure:
            log.warning("snapshot not cleared", instance=instance.id, host=host, reason=failure.message)
        try:
            await self._images.discard(image_id)
        except Failure as failure:
            log.warning("image left without data", image=image_id, reason=failure.message)

    async def _show(self, work: Work, task: TaskState.ValueType) -> Instance:
        def change(_connection: Connection, locked: Instance) -> None:
            locked.task_state = task

        return await self._ground.advance(work, change)

    def _stub(self, host: Host) -> "SnapshotServiceAsyncStub":
        return SnapshotServiceStub(self._ground.node.channel_to(host.address, "compute", host.name))

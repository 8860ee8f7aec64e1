"""SnapshotService: images of this host's guests, taken by the driver and uploaded to the image role."""

from collections.abc import AsyncIterator

from drivers.virt import Driver, Progress, Snapshot, Snapshots
from novamesh.compute.v1 import snapshot_service_pb2 as pb
from novamesh.failures import NotSupportedError, UnavailableError
from novamesh.image.v1.image_service_pb2 import GetImageRequest, UploadImageRequest, UploadStart
from novamesh.image.v1.image_service_pb2_grpc import ImageServiceStub
from novamesh.types.v1.image_pb2 import IMAGE_STATUS_ACTIVE, IMAGE_STATUS_SAVING
from services.compute.operations import OperationRunner
from services.compute.progress import ProgressReporter
from services.compute.work import WorkTable
from services.mesh import Call, Node

# Seconds that a whole upload may take: large disks over slow lines.
UPLOAD_TIMEOUT = 6 * 3600.0


class SnapshotServicer:
    """Answers novamesh.compute.v1.SnapshotService, but for what it says of volumes."""

    def __init__(self, node: Node, driver: Driver, work: WorkTable) -> None:
        self._node = node
        self._driver = driver
        self._operations = OperationRunner(work)

    async def CreateSnapshot(
        self, request: pb.CreateSnapshotRequest, call: Call
    ) -> pb.CreateSnapshotResponse:
        """See SnapshotService.CreateSnapshot."""
        driver = self._snapshots()

        async def take() -> pb.CreateSnapshotResponse:
            with ProgressReporter(self._node, request.operation_id) as progress:
                taken = await driver.take_snapshot(request.instance, request.image_id, progress)
            return pb.CreateSnapshotResponse(size=taken.size, disk_format=taken.disk_format)

        return await self._operations.run(request, call, take)

    async def UploadSnapshot(
        self, request: pb.UploadSnapshotRequest, call: Call
    ) -> pb.UploadSnapshotResponse:
        """See SnapshotService.UploadSnapshot."""
        driver = self._snapshots()

        async def upload() -> pb.UploadSnapshotResponse:
            with ProgressReporter(self._node, request.operation_id) as progress:
                if not await self._there(request.image_id):
                    taken = await driver.take_snapshot(request.instance, request.image_id, progress)
                    await self._upload(request, taken, progress)
            await driver.drop_snapshot(request.instance, request.image_id)
            return pb.UploadSnapshotResponse()

        return await self._operations.run(request, call, upload)

    async def CancelSnapshot(
        self, request: pb.CancelSnapshotRequest, call: Call
    ) -> pb.CancelSnapshotResponse:
        """See SnapshotService.CancelSnapshot."""

        async def drop() -> pb.CancelSnapshotResponse:
            if isinstance(self._driver, Snapshots):
                await self._driver.drop_snapshot(request.instance, request.image_id)
            return pb.CancelSnapshotResponse()

        # Operations on one instance come one after another, so what runs is what is to be stopped.
        return await self._operations.run_last(request, call, drop)

    async def _there(self, image_id: str) -> bool:
        """True when an earlier attempt has uploaded it, and nobody heard of that."""
        stub = ImageServiceStub(self._node.channel("image"))
        status = (await stub.GetImage(GetImageRequest(image_id=image_id))).image.status
        if status == IMAGE_STATUS_SAVING:
            # The image role has not noticed yet that an earlier attempt has ended.
            raise UnavailableError("image", f"Image {image_id} is being uploaded to by somebody else.")
        return status == IMAGE_STATUS_ACTIVE

    async def _upload(self, request: pb.UploadSnapshotRequest, taken: Snapshot, progress: Progress) -> None:
        driver = self._snapshots()

        async def messages() -> AsyncIterator[UploadImageRequest]:
            yield UploadImageRequest(
                start=UploadStart(
                    image_id=request.image_id,
                    size=taken.size,
                    operation_id=request.operation_id,
                    disk_format=taken.disk_format,
                    container_format=taken.container_format,
                )
            )
            done = 0
            async for chunk in driver.read_snapshot(request.instance, request.image_id):
                yield UploadImageRequest(chunk=chunk)
                done += len(chunk)
                progress("uploading image", done * 100 // taken.size)

        stub = ImageServiceStub(self._node.channel("image"))
        await stub.UploadImage(messages(), timeout=UPLOAD_TIMEOUT)

    def _snapshots(self) -> Snapshots:
        if not isinstance(self._driver, Snapshots):
            raise NotSupportedError(
                "snapshots", f"The {self._driver.name} driver can't take images of guests."
            )
        return self._driver

"""Snapshots and backups: an image of the root disk of an instance that goes on as it is."""

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.failures import Failure, InvalidArgumentError
from novamesh.types.v1.instance_pb2 import Instance, TaskState
from novamesh.types.v1.operation_pb2 import Operation, OperationKind
from services.conductor import endings, states
from services.conductor.endings import Ending
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import locate
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import OperationImages
from services.conductor.workflows.taking import Taking, Tasks

_Task = TaskState
_SNAPSHOT = Tasks(
    _Task.TASK_STATE_IMAGE_SNAPSHOT,
    _Task.TASK_STATE_IMAGE_PENDING_UPLOAD,
    _Task.TASK_STATE_IMAGE_UPLOADING,
)
_BACKUP = Tasks(
    _Task.TASK_STATE_IMAGE_BACKUP,
    _Task.TASK_STATE_IMAGE_PENDING_UPLOAD,
    _Task.TASK_STATE_IMAGE_UPLOADING,
)
_OURS = frozenset(
    {
        _Task.TASK_STATE_IMAGE_SNAPSHOT_PENDING,
        _Task.TASK_STATE_IMAGE_SNAPSHOT,
        _Task.TASK_STATE_IMAGE_BACKUP,
        _Task.TASK_STATE_IMAGE_PENDING_UPLOAD,
        _Task.TASK_STATE_IMAGE_UPLOADING,
    }
)


def check_image(operation: Operation) -> None:
    """Make sure that a request says which image is to be filled. Raises InvalidArgumentError."""
    if not operation.arguments.snapshot.image_id:
        raise InvalidArgumentError("arguments.snapshot.image_id", "No image was named to upload to.")


class SnapshotWorkflow:
    """See the module. One object serves both kinds."""

    def __init__(self, ground: Ground, images: OperationImages) -> None:
        self._ground = ground
        self._images = images
        self._taking = Taking(ground, images)

    def prepare(self, _connection: Connection, asked: Preparation) -> None:
        """A snapshot needs an image, a backup also how many stay. Raises InvalidArgumentError."""
        check_image(asked.operation)
        if asked.operation.arguments.snapshot.rotation < 0:
            raise InvalidArgumentError("arguments.snapshot.rotation", "A rotation is 0 or more.")

    async def run(self, work: Work) -> None:
        """Have the host take and upload it; then remove the backups that are too many."""
        operation = work.operation
        instance, host = await locate(self._ground, work)
        backup = operation.kind == OperationKind.OPERATION_KIND_BACKUP
        image = await self._taking.take(work, instance, host, _BACKUP if backup else _SNAPSHOT)
        if backup:
            await self._images.rotate(instance, image, operation.arguments.snapshot.rotation)

        def change(_connection: Connection, locked: Instance) -> None:
            if locked.task_state in _OURS:
                locked.task_state = states.IDLE

        end = endings.succeeded(operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """The instance is as it was, with the reason in its fault; no image is left that has no data."""
        await self._taking.cancel(work)
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            if locked.task_state in _OURS:
                locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

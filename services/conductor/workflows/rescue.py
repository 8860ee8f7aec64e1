"""Rescue and unrescue: the guest is started from another image, to be mended, and from its own disk again."""

from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.guest_service_pb2 import RescueInstanceRequest, UnrescueInstanceRequest
from novamesh.failures import Failure, InvalidArgumentError
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, states
from services.conductor.endings import Ending
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import guests, locate
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.rebuild import IMAGE_PREFIX


class RescueWorkflow:
    """From the rescue image."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Without an image the instance is rescued from its own. Raises InvalidArgumentError (image_id)."""
        instance, rescue = asked.instance, asked.operation.arguments.rescue
        if rescue.image_id:
            return
        if not instance.image_id:
            raise InvalidArgumentError(
                "image_id",
                f"Instance {instance.id} cannot be rescued: it was not built from an image.",
            )
        rescue.image_id = instance.image_id
        rescue.kernel_id = instance.kernel_id
        rescue.ramdisk_id = instance.ramdisk_id
        rescue.properties.update(
            {
                name.removeprefix(IMAGE_PREFIX): value
                for name, value in instance.system_metadata.items()
                if name.startswith(IMAGE_PREFIX)
            }
        )

    async def run(self, work: Work) -> None:
        """Have the host do it."""
        operation, options = work.operation, self._ground.options
        instance, host = await locate(self._ground, work)
        await self._ground.plug(instance, host)
        rescued = await guests(self._ground, host).RescueInstance(
            RescueInstanceRequest(
                operation_id=operation.id,
                instance=instance,
                rescue=operation.arguments.rescue,
                shutdown_timeout=options.shutdown_timeout,
            ),
            timeout=options.build_timeout + options.shutdown_timeout,
        )

        def change(_connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.RESCUE, rescued.power_state)
            locked.ClearField("fault")

        end = endings.succeeded(operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason: it may be off. A hard reboot starts it from its own disk."""
        await _break(self._ground, work, failure, states.RESCUE)


class UnrescueWorkflow:
    """From its own disk again."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def run(self, work: Work) -> None:
        """Have the host do it."""
        instance, host = await locate(self._ground, work)
        await self._ground.plug(instance, host)
        unrescued = await guests(self._ground, host).UnrescueInstance(
            UnrescueInstanceRequest(operation_id=work.operation.id, instance=instance),
            timeout=self._ground.options.action_timeout,
        )

        def change(_connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.UNRESCUE, unrescued.power_state)
            locked.ClearField("fault")

        end = endings.succeeded(work.operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason."""
        await _break(self._ground, work, failure, states.UNRESCUE)


async def _break(ground: Ground, work: Work, failure: Failure, move: states.Move) -> None:
    at = now()

    def change(_connection: Connection, locked: Instance) -> None:
        locked.vm_state = states.ERROR
        if locked.task_state == move.task_state:
            locked.task_state = states.IDLE
        locked.fault.CopyFrom(endings.fault_of(failure, at))

    end = endings.failed(work.operation.id, ground.owner, failure, work.operation.host)
    await ground.end(Ending(end, work.operation.instance_id, at, change))

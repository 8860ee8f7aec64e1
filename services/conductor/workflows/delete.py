"""Delete: end the guest, unplug it, and free all that the instance held.

An instance on a host that is down is gone at once; the host destroys its guest when it comes back and finds
that the record is no more.
"""

import structlog

from db import instance_migrations
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.lifecycle_service_pb2 import DeleteInstanceRequest
from novamesh.failures import Failure, UnavailableError
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, limits, states
from services.conductor.endings import Ending
from services.conductor.limits import Owner
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_migration import cards_at
from services.conductor.workflows.ground import Ground
from services.conductor.workflows.images import OperationImages

log = structlog.get_logger("novamesh.conductor")

# Attempts for which a delete waits for the image service.
PATIENCE = 3


class DeleteWorkflow:
    """See the module."""

    def __init__(self, ground: Ground, images: OperationImages) -> None:
        self._ground = ground
        self._images = images

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """A restore that this overtakes has counted the instance again already."""
        instance = asked.instance
        if instance.task_state == states.RESTORE.task_state:
            owner = Owner(instance.project_id, instance.user_id)
            limits.give_back(connection, owner, instance.flavor, 1)

    async def run(self, work: Work) -> None:
        """Make the instance be gone."""
        instance, host = await self._ground.read(work.operation.instance_id)
        if host is not None and host.up:
            work.operation.host = host.name
            request = DeleteInstanceRequest(operation_id=work.operation.id, instance=instance)
            await self._ground.lifecycle(host).DeleteInstance(
                request, timeout=self._ground.options.action_timeout
            )
            await self._ground.unplug(instance, host)
        elif instance.host:
            log.warning("instance deleted without its host", instance=instance.id, host=instance.host)
        await self._remove_images(work, instance)
        freed = await self._end_elsewhere(work, instance)
        at, without = now(), bool(instance.host) and not (host is not None and host.up)

        def change(connection: Connection, locked: Instance) -> None:
            if without and self._ground.is_up(connection, instance.host, at):
                # It came back meanwhile, and has compared its guests with the records, perhaps before this
                # one ended: it is to be told.
                raise UnavailableError("compute", f"Host {instance.host} has just come back.")
            if locked.vm_state != states.DELETED:
                endings.bury(connection, locked, at)

        end = endings.succeeded(work.operation.id, self._ground.owner, instance.host)
        await self._ground.end(Ending(end, instance.id, at, change), host=instance.host)
        if freed:
            self._ground.feeds.hosts.touch([freed])

    async def _end_elsewhere(self, work: Work, instance: Instance) -> str:
        """Remove what an open migration has of the instance on another host; returns that host.

        One that is down removes it when it is back.
        """
        open_one = await self._ground.database.read(lambda c: instance_migrations.of_instance(c, instance.id))
        if open_one is None or open_one.held_host in ("", instance.host):
            return ""
        other = await self._ground.host(open_one.held_host)
        if other is not None and other.up:
            request = DeleteInstanceRequest(operation_id=work.operation.id, instance=instance)
            await self._ground.lifecycle(other).DeleteInstance(
                request, timeout=self._ground.options.action_timeout
            )
            # A live migration has made both hosts ready.
            await self._ground.unplug(cards_at(instance, other.name), other)
        return open_one.held_host

    async def _remove_images(self, work: Work, instance: Instance) -> None:
        """What an image service that is away keeps is its owner's to remove, in the end."""
        try:
            await self._images.remove_of(instance)
        except Failure as failure:
            if failure.transient and work.operation.attempts < PATIENCE:
                raise
            log.warning("images of a deleted instance left", instance=instance.id, reason=failure.message)

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason: the guest may still be there, so nothing is freed, and a delete may be
        asked again."""
        at = now()

        def change(connection: Connection, locked: Instance) -> None:
            if locked.vm_state == states.SOFT_DELETED:
                owner = Owner(locked.project_id, locked.user_id)
                limits.take_again(connection, owner, locked.flavor)
            locked.vm_state = states.ERROR
            locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

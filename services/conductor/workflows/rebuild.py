"""Rebuild: the same instance on the same host, with disks made anew from an image, its own or another.

The record is changed when the rebuild is accepted, so that users see at once what it is going to be.
"""

from collections.abc import Callable
from typing import Any

from db import instances, keypairs
from db.database import Connection
from db.operations import Work
from db.schema.base import now
from novamesh.compute.v1.guest_service_pb2 import RebuildInstanceRequest
from novamesh.failures import Failure, InvalidArgumentError, NoValidHostError
from novamesh.scheduler.v1.destination_service_pb2 import RequestSpec, SelectDestinationsRequest
from novamesh.scheduler.v1.destination_service_pb2_grpc import DestinationServiceStub
from novamesh.types.v1.instance_pb2 import Instance
from services.conductor import endings, limits, states
from services.conductor.endings import Ending
from services.conductor.limits import Owner
from services.conductor.preparation import Preparation
from services.conductor.workflows.at_host import guests, locate
from services.conductor.workflows.ground import Ground

IMAGE_PREFIX = "image_"
# What is asked of the host when the image is another.
IMAGE_FILTER = "ImagePropertiesFilter"
# The key of the work's memory for what the instance was made from, when that changes.
BEFORE = "before"
_PLAIN = (
    "display_name",
    "display_description",
    "hostname",
    "user_data",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "kernel_id",
    "ramdisk_id",
)


class RebuildWorkflow:
    """See the module."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    def prepare(self, connection: Connection, asked: Preparation) -> None:
        """Change the record.

        Raises InvalidArgumentError (image_id, update_mask), NotFoundError (keypair), QuotaExceededError
        (metadata_items, injected_files and the like).
        """
        instance, arguments = asked.instance, asked.operation.arguments.rebuild
        if not arguments.image_id:
            raise InvalidArgumentError("image_id", "A rebuild needs an image.")
        before = _boot_of(instance)
        others: dict[str, Callable[[], None]] = {
            "metadata": lambda: _put_metadata(connection, asked),
            "system_metadata": lambda: _put_properties(instance, arguments.changes),
            "injected_files": lambda: _put_files(connection, asked),
            "key_name": lambda: _put_key(connection, asked),
        }
        for path in arguments.update_mask.paths:
            if path in _PLAIN:
                setattr(instance, path, getattr(arguments.changes, path))
            elif path in others:
                others[path]()
            else:
                raise InvalidArgumentError("update_mask", f"A rebuild can't change {path}.")
        if arguments.image_id != instance.image_id:
            asked.memory[BEFORE] = before
        instance.image_id = arguments.image_id
        instance.progress = 0
        # By another image's properties it may have another name.
        instance.root_device_name = ""
        _put_source(instance)
        # The ledger needs no copy of what is in the record now.
        arguments.ClearField("changes")
        arguments.ClearField("update_mask")

    async def run(self, work: Work) -> None:
        """Have the host do it; an instance that was off stays off."""
        operation = work.operation
        instance, host = await locate(self._ground, work)
        stays_off = instance.vm_state == states.STOPPED
        if BEFORE in work.memory:
            await self._check_host(operation.id, instance)
        await self._ground.plug(instance, host)
        rebuilt = await guests(self._ground, host).RebuildInstance(
            RebuildInstanceRequest(
                operation_id=operation.id,
                instance=instance,
                preserve_ephemeral=operation.arguments.rebuild.preserve_ephemeral,
                power_on=not stays_off,
            ),
            timeout=self._ground.options.build_timeout,
        )

        def change(_connection: Connection, locked: Instance) -> None:
            endings.reach(locked, states.REBUILD, rebuilt.power_state)
            locked.vm_state = states.STOPPED if stays_off else states.ACTIVE
            locked.root_device_name = rebuilt.root_device_name
            locked.ClearField("fault")

        end = endings.succeeded(operation.id, self._ground.owner, host.name)
        await self._ground.end(Ending(end, instance.id, now(), change))

    async def give_up(self, work: Work, failure: Failure) -> None:
        """ERROR, with the reason: its disks may be gone. It stays on its host, to be rebuilt again."""
        at = now()

        def change(_connection: Connection, locked: Instance) -> None:
            if isinstance(failure, NoValidHostError):
                # Nobody has touched the guest: it still is what it was made from.
                _restore(locked, work.memory[BEFORE])
            locked.vm_state = states.ERROR
            if locked.task_state == states.REBUILD.task_state:
                locked.task_state = states.IDLE
            locked.fault.CopyFrom(endings.fault_of(failure, at))

        end = endings.failed(work.operation.id, self._ground.owner, failure, work.operation.host)
        await self._ground.end(Ending(end, work.operation.instance_id, at, change))

    async def _check_host(self, operation_id: str, instance: Instance) -> None:
        """Ask whether the host runs the new image. Raises NoValidHostError."""
        spec = RequestSpec(
            # Not the instance's id: nothing is to be counted as about to come.
            instance_ids=[operation_id],
            requested_host=instance.host,
            filters=[IMAGE_FILTER],
            image_properties=_properties(instance),
        )
        scheduler = DestinationServiceStub(self._ground.node.channel("scheduler"))
        answer = await scheduler.SelectDestinations(
            SelectDestinationsRequest(spec=spec), timeout=self._ground.options.call_timeout
        )
        if not answer.destinations[0].hosts:
            raise NoValidHostError(answer.destinations[0].refusals)


def _properties(instance: Instance) -> dict[str, str]:
    return {
        name.removeprefix(IMAGE_PREFIX): value
        for name, value in instance.system_metadata.items()
        if name.startswith(IMAGE_PREFIX)
    }


def _boot_of(instance: Instance) -> dict[str, Any]:
    """What the instance is made from, as the ledger can keep it."""
    return {
        "image_id": instance.image_id,
        "kernel_id": instance.kernel_id,
        "ramdisk_id": instance.ramdisk_id,
        "root_device_name": instance.root_device_name,
        "properties": _properties(instance),
    }


def _restore(instance: Instance, before: dict[str, Any]) -> None:
    for name in ("image_id", "kernel_id", "ramdisk_id", "root_device_name"):
        setattr(instance, name, before[name])
    changes = Instance()
    for name, value in before["properties"].items():
        changes.system_metadata[IMAGE_PREFIX + name] = value
    _put_properties(instance, changes)
    _put_source(instance)


def _put_source(instance: Instance) -> None:
    for device in instance.block_devices:
        if device.source_type == "image" and device.boot_index == 0:
            device.source_id = instance.image_id


def _put_metadata(connection: Connection, asked: Preparation) -> None:
    instance, wanted = asked.instance, asked.operation.arguments.rebuild.changes.metadata
    owner = Owner(instance.project_id, instance.user_id)
    of_project, _ = limits.limits_of(connection, owner, asked.quota)
    limits.check_count("metadata_items", of_project["metadata_items"], 0, len(wanted))
    instance.ClearField("metadata")
    instance.metadata.update(wanted)
    instances.save_labels(connection, instance)


def _put_properties(instance: Instance, changes: Instance) -> None:
    """The new image's properties in place of the old one's; the cloud's own pairs stay."""
    for name in [name for name in instance.system_metadata if name.startswith(IMAGE_PREFIX)]:
        del instance.system_metadata[name]
    instance.system_metadata.update(
        {name: value for name, value in changes.system_metadata.items() if name.startswith(IMAGE_PREFIX)}
    )


def _put_files(connection: Connection, asked: Preparation) -> None:
    instance, files = asked.instance, asked.operation.arguments.rebuild.changes.injected_files
    of_project, _ = limits.limits_of(connection, Owner(instance.project_id, instance.user_id), asked.quota)
    limits.check_files(of_project, files)
    instance.ClearField("injected_files")
    instance.injected_files.update(files)


def _put_key(connection: Connection, asked: Preparation) -> None:
    """The key pair of whoever asks; an empty name takes the key away."""
    instance, name = asked.instance, asked.operation.arguments.rebuild.changes.key_name
    user_id = asked.context.user_id or instance.user_id
    instance.key_data = keypairs.get(connection, user_id, name).public_key if name else ""
    instance.key_name = name

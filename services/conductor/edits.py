"""What a user may change of an instance at once, without anybody's work: units of work on the database."""

from collections.abc import Mapping
from datetime import datetime

from db import instances, interfaces, server_groups
from db.database import Connection
from novamesh.conductor.v1.instance_service_pb2 import UpdateInstanceRequest
from novamesh.errors.v1.errors_pb2 import StateConflict
from novamesh.failures import InvalidArgumentError, NotFoundError, StateConflictError, vm_state_name
from novamesh.types.v1.instance_pb2 import Instance
from novamesh.types.v1.request_context_pb2 import RequestContext
from services.conductor import limits, states
from services.conductor.limits import Owner

_PLAIN = frozenset(
    {
        "display_name",
        "display_description",
        "hostname",
        "access_ip_v4",
        "access_ip_v6",
        "auto_disk_config",
    }
)
MOST_TAGS = 50
# Where metadata and tags may be changed.
_LABELLED = frozenset({states.ACTIVE, states.PAUSED, states.SUSPENDED, states.STOPPED})
# Where the zone that a user chose stays known once the instance has its host's.
PINNED_ZONE = "pinned_availability_zone"


def lock_present(connection: Connection, instance_id: str) -> Instance:
    """An instance that is not deleted, for change.

    Raises NotFoundError.
    """
    instance = instances.lock(connection, instance_id)
    if instance.vm_state == states.DELETED:
        raise NotFoundError("instance", instance_id)
    return instance


def apply(
    connection: Connection,
    request: UpdateInstanceRequest,
    context: RequestContext,
    at: datetime,
    quota: Mapping[str, int],
) -> Instance:
    """Write the fields that the request names, and return the instance with its interfaces.

    Raises NotFoundError, GenerationConflictError, InvalidArgumentError (update_mask), QuotaExceededError,
    StateConflictError (pinned_availability_zone, metadata, tags).
    """
    new = request.instance
    instance = lock_present(connection, new.id)
    if new.project_id and new.project_id != instance.project_id:
        raise NotFoundError("instance", new.id)
    instances.check_generation(instance, new.generation)
    labels = False
    for path in request.update_mask.paths:
        if path in _PLAIN:
            setattr(instance, path, getattr(new, path))
        elif path == "metadata":
            states.check_unlocked(instance, "update metadata", context.is_admin)
            _check_labelled(instance, "update metadata")
            owner = Owner(instance.project_id, instance.user_id)
            of_project, _ = limits.limits_of(connection, owner, quota)
            limits.check_count("metadata_items", of_project["metadata_items"], 0, len(new.metadata))
            instance.ClearField("metadata")
            instance.metadata.update(new.metadata)
            labels = True
        elif path == "tags":
            _check_labelled(instance, "update tags")
            if len(set(new.tags)) > MOST_TAGS:
                raise InvalidArgumentError("tags", f"An instance has at most {MOST_TAGS} tags.")
            instance.ClearField("tags")
            instance.tags.extend(sorted(set(new.tags)))
            labels = True
        else:
            raise InvalidArgumentError("update_mask", f"{path} of an instance can't be changed.")
    if request.HasField("pinned_availability_zone"):
        _pin(instance, request.pinned_availability_zone)
    instances.save(connection, instance, at)
    if labels:
        instances.save_labels(connection, instance)
    return server_groups.attach(connection, interfaces.attach(connection, instance))


def _check_labelled(instance: Instance, action: str) -> None:
    """Raises StateConflictError for an instance that is being built, is broken, or on its way elsewhere."""
    if instance.vm_state not in _LABELLED:
        state = vm_state_name(instance.vm_state)
        raise StateConflictError(
            f"Cannot '{action}' instance {instance.id} while it is in vm_state {state}",
            StateConflict(
                instance_id=instance.id,
                action=action,
                vm_state=instance.vm_state,
                task_state=instance.task_state,
                allowed_vm_states=sorted(_LABELLED),
            ),
        )


def _pin(instance: Instance, zone: str) -> None:
    """Pin an instance that is free to the zone that it is in, or free a pinned one."""
    pinned = instance.system_metadata.get(PINNED_ZONE, "")
    if not zone:
        instance.system_metadata.pop(PINNED_ZONE, None)
        return
    if zone == pinned:
        return
    if pinned or zone != instance.availability_zone:
        reason = f"it is pinned to {pinned}" if pinned else "that is not the zone that it is in"
        raise StateConflictError(
            f"Instance {instance.id} cannot be pinned to availability zone {zone}: {reason}",
            StateConflict(
                instance_id=instance.id,
                action="pin",
                vm_state=instance.vm_state,
                task_state=instance.task_state,
            ),
        )
    instance.system_metadata[PINNED_ZONE] = zone

"""What a resize or a cold migration is refused for before it is accepted. The sentences are Nova's."""

from collections.abc import Sequence
from datetime import datetime

from db import hosts
from db.database import Connection
from novamesh.errors.v1.errors_pb2 import FilterRefusal, StateConflict
from novamesh.failures import InvalidArgumentError, NotFoundError, NoValidHostError, StateConflictError
from novamesh.types.v1.flavor_pb2 import Flavor
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance

COLD_MIGRATION = "cold_migration"
GIB = 1024**3


def source_of(connection: Connection, instance: Instance, up_since: datetime) -> Host:
    """The instance's host, which has to be up.

    Raises StateConflictError, which tells users nothing of the host.
    """
    found = hosts.get_many(connection, [instance.host], up_since)
    if not found or not found[0].up:
        raise StateConflictError(
            "Service is unavailable at this time.",
            StateConflict(
                instance_id=instance.id, vm_state=instance.vm_state, task_state=instance.task_state
            ),
        )
    return found[0]


def check_flavor(instance: Instance, flavor: Flavor) -> None:
    """Raises NotFoundError for one that users may not choose, InvalidArgumentError for one that is not
    another or too small for the image."""
    if flavor.disabled and flavor.id != instance.flavor.id:
        raise NotFoundError("flavor", flavor.id)
    if flavor.id == instance.flavor.id:
        raise InvalidArgumentError("flavor_id", "When resizing, instances must change flavor!")
    if instance.flavor.root_gb and not flavor.root_gb:
        raise InvalidArgumentError(
            "flavor_id",
            "Server disk was unable to be resized because: Resize to zero disk flavor is not allowed.",
        )
    if flavor.memory_mb < _number(instance, "image_min_ram"):
        raise InvalidArgumentError("flavor_id", "Flavor's memory is too small for requested image.")
    least = _number(instance, "image_min_disk")
    if flavor.root_gb and flavor.root_gb < least:
        raise InvalidArgumentError(
            "flavor_id",
            "Flavor's disk is smaller than the minimum size specified in image metadata. "
            f"Flavor disk is {flavor.root_gb * GIB} bytes, minimum size is {least * GIB} bytes.",
        )


def check_auto_disk_config(instance: Instance, wanted: bool) -> None:
    """Raises InvalidArgumentError when the image forbids it."""
    if wanted and instance.system_metadata.get("image_auto_disk_config", "").lower() == "disabled":
        raise InvalidArgumentError(
            "auto_disk_config",
            f"Requested image {instance.image_id} has automatic disk resizing disabled.",
        )


def check_destination(source: Host, known: Sequence[Host], name: str) -> None:
    """Make sure that an instance may leave for `name`, or for any host when that is empty.

    Raises InvalidArgumentError (host), NotFoundError (host), and NoValidHostError when no host could take it
    or its own can't send it.
    """
    if name == source.name:
        raise InvalidArgumentError("host", "Cannot migrate to the host where the server exists.")
    if name and name not in {host.name for host in known}:
        raise NotFoundError("host", name, f"Compute host {name} could not be found.")
    able = [host for host in known if COLD_MIGRATION in host.inventory.capabilities]
    others = [host for host in able if host.name != source.name and host.up and host.enabled]
    if source.name not in {host.name for host in able} or not others:
        raise NoValidHostError([FilterRefusal(filter="ColdMigration", before=len(known), after=0)])


def _number(instance: Instance, key: str) -> int:
    value = instance.system_metadata.get(key, "")
    return int(value) if value.isdecimal() else 0

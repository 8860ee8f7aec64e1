"""What a live migration is refused for. The sentences are Nova's."""

from novamesh.errors.v1.errors_pb2 import StateConflict
from novamesh.failures import InvalidArgumentError, StateConflictError
from novamesh.types.v1.host_pb2 import Host
from novamesh.types.v1.instance_pb2 import Instance, PowerState

# Name in HostInventory.capabilities.
LIVE_MIGRATION = "live_migration"
_RUNS = (PowerState.POWER_STATE_RUNNING, PowerState.POWER_STATE_PAUSED)


def check_source(instance: Instance, source: Host | None) -> None:
    """Make sure that the guest runs, under a hypervisor that can send it.

    Raises StateConflictError, InvalidArgumentError (instance_id).
    """
    if instance.power_state not in _RUNS:
        power_state = PowerState.Name(instance.power_state).removeprefix("POWER_STATE_").lower()
        raise StateConflictError(
            f"Cannot 'os-migrateLive' instance {instance.id} while it is in power_state {power_state}",
            StateConflict(
                instance_id=instance.id,
                action="os-migrateLive",
                vm_state=instance.vm_state,
                task_state=instance.task_state,
            ),
        )
    if source is None or not sends_and_receives(source):
        raise InvalidArgumentError(
            "instance_id", f"The hypervisor of instance {instance.id} can't migrate guests that run."
        )


def sends_and_receives(host: Host) -> bool:
    """Whether a host's driver has the ability."""
    return LIVE_MIGRATION in host.inventory.capabilities


def takes_from(source: Host, host: Host) -> bool:
    """Whether a host could run what runs on `source`, by what both say of their hypervisors."""
    mine, other = source.inventory, host.inventory
    return (
        sends_and_receives(host)
        and host.name != source.name
        and other.hypervisor_type == mine.hypervisor_type
        and other.hypervisor_version >= mine.hypervisor_version
    )


def check_named(instance: Instance, source: Host, named: Host | None) -> None:
    """Make sure of the same for the host that an administrator has named, and that it is up.

    Raises InvalidArgumentError (host).
    """
    reason = ""
    if named is None:
        reason = "The destination is gone."
    elif named.name == source.name:
        reason = f"Unable to migrate instance ({instance.id}) to current host."
    elif not named.up:
        reason = "Compute service of the destination is unavailable at this time."
    elif not sends_and_receives(named) or (
        named.inventory.hypervisor_type != source.inventory.hypervisor_type
    ):
        reason = "The supplied hypervisor type is invalid."
    elif named.inventory.hypervisor_version < source.inventory.hypervisor_version:
        reason = "The instance requires a newer hypervisor version than has been provided."
    if reason:
        raise InvalidArgumentError("host", reason)


def lack_of_memory(instance: Instance, host: Host) -> InvalidArgumentError:
    """For a host that an administrator forces and that has no room for the instance."""
    inventory, used = host.inventory, host.usage.memory_mb
    free = int(inventory.memory_mb * host.ram_allocation_ratio) - used
    if free < instance.flavor.memory_mb:
        why = f"Lack of memory(host:{free} <= instance:{instance.flavor.memory_mb})"
    else:
        why = "the destination has no room for it, or is disabled"
    return InvalidArgumentError("host", f"Migration pre-check error: Unable to migrate {instance.id}: {why}")

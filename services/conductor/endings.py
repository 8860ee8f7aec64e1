"""How operations end: the units of work that write a result, and free what is no longer held."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from db import instances, leases, server_groups, usage
from db.database import Connection
from db.leases import End
from db.schema.base import timestamp
from novamesh.failures import Failure
from novamesh.types.v1.instance_pb2 import Fault, Instance, PowerState
from novamesh.types.v1.operation_pb2 import OperationState
from services.conductor import claims, limits, moves, states
from services.conductor.faults import for_users
from services.conductor.limits import Owner

# What HTTP would have answered, by failure: the code of a fault. Anything else is a 500.
_FAULT_CODES = {"InvalidArgumentError": 400, "NotFoundError": 404, "QuotaExceededError": 403}


class OvertakenError(Exception):
    """This conductor no longer holds the operation: a delete overtook it, or its lease ran out."""


def fault_of(failure: Failure, at: datetime, *, message: str = "", details: str = "") -> Fault:
    """A failure as the Compute API shows it on an instance; `message` and `details` where its own say too
    little."""
    code = _FAULT_CODES.get(type(failure).__name__, 500)
    shown = message or for_users(failure)
    full = details or failure.message
    # Users see the details of every other code.
    hidden = full if code == 500 and full != shown else ""
    return Fault(code=code, message=shown, details=hidden, created_at=timestamp(at))


@dataclass(frozen=True)
class Ending:
    """The end of one operation, and what it makes of its instance."""

    end: End
    instance_id: str
    at: datetime
    # Changes the instance, which is locked; None when the instance stays as it is.
    change: Callable[[Connection, Instance], None]


def write(connection: Connection, ending: Ending) -> Instance:
    """End an operation and change its instance in one transaction. Returns the instance without interfaces.

    Raises OvertakenError, with nothing written.
    """
    # The instance before its operations, as everywhere: two who lock them the other way round would deadlock.
    instance = instances.lock(connection, ending.instance_id)
    if not leases.end(connection, ending.end, ending.at):
        raise OvertakenError()
    ending.change(connection, instance)
    instances.save(connection, instance, ending.at)
    return instance


def succeeded(operation_id: str, owner: str, host: str) -> End:
    """The work is done."""
    return End(operation_id, owner, OperationState.OPERATION_STATE_SUCCEEDED, "", host)


def failed(operation_id: str, owner: str, failure: Failure, host: str) -> End:
    """The work is given up."""
    return End(operation_id, owner, OperationState.OPERATION_STATE_FAILED, failure.message, host)


def reach(instance: Instance, move: states.Move, power_state: PowerState.ValueType) -> None:
    """The instance is where the move ends. A task that another operation has set since stays."""
    if move.result is not None:
        instance.vm_state = move.result
    instance.power_state = power_state
    if instance.task_state in (move.task_state, states.SPAWNING):
        instance.task_state = states.IDLE


def bury(connection: Connection, instance: Instance, at: datetime) -> None:
    """The instance is gone, and all that it held is free."""
    moves.abandon(connection, instance, at)
    claims.free(connection, instance, at)
    if instance.vm_state != states.SOFT_DELETED:
        limits.give_back(connection, Owner(instance.project_id, instance.user_id), instance.flavor, 1)
    usage.end(connection, instance, at)
    server_groups.leave(connection, instance)
    instance.vm_state = states.DELETED
    instance.task_state = states.IDLE
    instance.power_state = PowerState.POWER_STATE_UNSPECIFIED
    instance.terminated_at.CopyFrom(timestamp(at))
    instance.deleted_at.CopyFrom(timestamp(at))


def break_build(connection: Connection, instance: Instance, fault: Fault, at: datetime) -> None:
    """The instance can't be built: ERROR with the reason, on no host, holding nothing but its place in the
    quota."""
    claims.free(connection, instance, at)
    instance.host = ""
    instance.node = ""
    instance.vm_state = states.ERROR
    instance.task_state = states.IDLE
    instance.fault.CopyFrom(fault)

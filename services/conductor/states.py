"""Which states allow which work, as data. The names and the moves are Nova's.

A request that the table forbids fails with StateConflictError, which carries the states that would have
allowed it.
"""

from dataclasses import dataclass
from typing import NoReturn

from novamesh.errors.v1 import errors_pb2 as errors
from novamesh.failures import StateConflictError, task_state_name, vm_state_name
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState, VmState
from novamesh.types.v1.operation_pb2 import Operation, OperationArguments, OperationKind, RebootType

BUILDING = VmState.VM_STATE_BUILDING
ACTIVE = VmState.VM_STATE_ACTIVE
PAUSED = VmState.VM_STATE_PAUSED
SUSPENDED = VmState.VM_STATE_SUSPENDED
STOPPED = VmState.VM_STATE_STOPPED
RESCUED = VmState.VM_STATE_RESCUED
RESIZED = VmState.VM_STATE_RESIZED
SHELVED = VmState.VM_STATE_SHELVED
SHELVED_OFFLOADED = VmState.VM_STATE_SHELVED_OFFLOADED
SOFT_DELETED = VmState.VM_STATE_SOFT_DELETED
ERROR = VmState.VM_STATE_ERROR
DELETED = VmState.VM_STATE_DELETED

IDLE = TaskState.TASK_STATE_UNSPECIFIED
SCHEDULING = TaskState.TASK_STATE_SCHEDULING
SPAWNING = TaskState.TASK_STATE_SPAWNING
REBOOTING = TaskState.TASK_STATE_REBOOTING
REBOOTING_HARD = TaskState.TASK_STATE_REBOOTING_HARD


@dataclass(frozen=True)
class Move:
    """One kind of work: where it may start, what the instance shows meanwhile, where it ends."""

    action: str
    kind: OperationKind.ValueType
    # Empty: every one.
    vm_states: frozenset[VmState.ValueType]
    # Tasks that it may come on top of; None: every one.
    task_states: frozenset[TaskState.ValueType] | None
    task_state: TaskState.ValueType
    # None: as it was before, or what the workflow finds out.
    result: VmState.ValueType | None
    # False where the guest need never have run.
    launched: bool = True
    # True when it cancels what is under way instead of waiting for it.
    overtakes: bool = False
    # False for what leaves the instance as it is, and may be done to a locked one.
    locks: bool = True


def _move(
    action: str,
    kind: OperationKind.ValueType,
    vm_states: tuple[VmState.ValueType, ...],
    task: TaskState.ValueType,
    result: VmState.ValueType | None,
) -> Move:
    return Move(action, kind, frozenset(vm_states), frozenset({IDLE}), task, result)


_Kind = OperationKind
START = _move("start", _Kind.OPERATION_KIND_START, (STOPPED,), TaskState.TASK_STATE_POWERING_ON, ACTIVE)
STOP = _move("stop", _Kind.OPERATION_KIND_STOP, (ACTIVE, ERROR), TaskState.TASK_STATE_POWERING_OFF, STOPPED)
# A guest that doesn't run can't be asked.
SOFT_REBOOT = _move("reboot", _Kind.OPERATION_KIND_REBOOT, (ACTIVE,), REBOOTING, ACTIVE)
# A power cycle mends most of what is wrong, and may follow a soft reboot that hangs.
HARD_REBOOT = Move(
    "reboot",
    _Kind.OPERATION_KIND_REBOOT,
    frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR}),
    frozenset({IDLE, REBOOTING}),
    REBOOTING_HARD,
    ACTIVE,
)
PAUSE = _move("pause", _Kind.OPERATION_KIND_PAUSE, (ACTIVE,), TaskState.TASK_STATE_PAUSING, PAUSED)
UNPAUSE = _move("unpause", _Kind.OPERATION_KIND_UNPAUSE, (PAUSED,), TaskState.TASK_STATE_UNPAUSING, ACTIVE)
SUSPEND = _move(
    "suspend", _Kind.OPERATION_KIND_SUSPEND, (ACTIVE,), TaskState.TASK_STATE_SUSPENDING, SUSPENDED
)
RESUME = _move("resume", _Kind.OPERATION_KIND_RESUME, (SUSPENDED,), TaskState.TASK_STATE_RESUMING, ACTIVE)
# Whoever resizes or migrates confirms or reverts afterwards; both lead back to ACTIVE or STOPPED.
RESIZE = _move(
    "resize", _Kind.OPERATION_KIND_RESIZE, (ACTIVE, STOPPED), TaskState.TASK_STATE_RESIZE_PREP, RESIZED
)
MIGRATE = _move(
    "migrate", _Kind.OPERATION_KIND_MIGRATE, (ACTIVE, STOPPED), TaskState.TASK_STATE_RESIZE_PREP, RESIZED
)
CONFIRM_RESIZE = _move(
    "confirmResize",
    _Kind.OPERATION_KIND_CONFIRM_RESIZE,
    (RESIZED,),
    TaskState.TASK_STATE_RESIZE_CONFIRMING,
    None,
)
REVERT_RESIZE = _move(
    "revertResize",
    _Kind.OPERATION_KIND_REVERT_RESIZE,
    (RESIZED,),
    TaskState.TASK_STATE_RESIZE_REVERTING,
    None,
)
LIVE_MIGRATE = _move(
    "os-migrateLive",
    _Kind.OPERATION_KIND_LIVE_MIGRATE,
    (ACTIVE, PAUSED),
    TaskState.TASK_STATE_MIGRATING,
    None,
)
# Its host is down, so whatever task it had there will never end.
EVACUATE = Move(
    "evacuate",
    _Kind.OPERATION_KIND_EVACUATE,
    frozenset({ACTIVE, STOPPED, ERROR}),
    frozenset(TaskState.values()) - {TaskState.TASK_STATE_DELETING},
    TaskState.TASK_STATE_REBUILDING,
    None,
    overtakes=True,
)
REBUILD = _move(
    "rebuild",
    _Kind.OPERATION_KIND_REBUILD,
    (ACTIVE, STOPPED, ERROR),
    TaskState.TASK_STATE_REBUILDING,
    None,
)
RESCUE = _move(
    "rescue",
    _Kind.OPERATION_KIND_RESCUE,
    (ACTIVE, STOPPED, ERROR),
    TaskState.TASK_STATE_RESCUING,
    RESCUED,
)
UNRESCUE = _move(
    "unrescue", _Kind.OPERATION_KIND_UNRESCUE, (RESCUED,), TaskState.TASK_STATE_UNRESCUING, ACTIVE
)
SNAPSHOT = Move(
    "createImage",
    _Kind.OPERATION_KIND_SNAPSHOT,
    frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED}),
    frozenset({IDLE}),
    TaskState.TASK_STATE_IMAGE_SNAPSHOT_PENDING,
    None,
    locks=False,
)
BACKUP = Move(
    "createBackup",
    _Kind.OPERATION_KIND_BACKUP,
    frozenset({ACTIVE, STOPPED, PAUSED, SUSPENDED}),
    frozenset({IDLE}),
    TaskState.TASK_STATE_IMAGE_BACKUP,
    None,
    locks=False,
)
SHELVE = _move(
    "shelve",
    _Kind.OPERATION_KIND_SHELVE,
    (ACTIVE, STOPPED, PAUSED, SUSPENDED),
    TaskState.TASK_STATE_SHELVING,
    SHELVED,
)
SHELVE_OFFLOAD = _move(
    "shelveOffload",
    _Kind.OPERATION_KIND_SHELVE_OFFLOAD,
    (SHELVED,),
    TaskState.TASK_STATE_SHELVING_OFFLOADING,
    SHELVED_OFFLOADED,
)
UNSHELVE = _move(
    "unshelve",
    _Kind.OPERATION_KIND_UNSHELVE,
    (SHELVED, SHELVED_OFFLOADED),
    TaskState.TASK_STATE_UNSHELVING,
    ACTIVE,
)
CHANGE_PASSWORD = _move(
    "changePassword",
    _Kind.OPERATION_KIND_CHANGE_PASSWORD,
    (ACTIVE,),
    TaskState.TASK_STATE_UPDATING_PASSWORD,
    None,
)
# Nova shows no task for it.
TRIGGER_CRASH_DUMP = _move(
    "trigger_crash_dump",
    _Kind.OPERATION_KIND_TRIGGER_CRASH_DUMP,
    (ACTIVE, PAUSED, RESCUED, RESIZED, ERROR),
    IDLE,
    None,
)
SOFT_DELETE = Move(
    "delete",
    _Kind.OPERATION_KIND_SOFT_DELETE,
    frozenset(),
    None,
    TaskState.TASK_STATE_SOFT_DELETING,
    SOFT_DELETED,
)
RESTORE = _move(
    "restore", _Kind.OPERATION_KIND_RESTORE, (SOFT_DELETED,), TaskState.TASK_STATE_RESTORING, ACTIVE
)
# Always, whatever is under way: it overtakes.
DELETE = Move(
    "delete",
    _Kind.OPERATION_KIND_DELETE,
    frozenset(),
    None,
    TaskState.TASK_STATE_DELETING,
    DELETED,
    launched=False,
    overtakes=True,
)
# Accepted by InstanceService.CreateInstances alone; here for its result.
CREATE = Move(
    "create", _Kind.OPERATION_KIND_CREATE, frozenset({BUILDING}), None, SCHEDULING, ACTIVE, launched=False
)

MOVES = (
    START,
    STOP,
    SOFT_REBOOT,
    HARD_REBOOT,
    PAUSE,
    UNPAUSE,
    SUSPEND,
    RESUME,
    RESIZE,
    MIGRATE,
    CONFIRM_RESIZE,
    REVERT_RESIZE,
    LIVE_MIGRATE,
    EVACUATE,
    REBUILD,
    RESCUE,
    UNRESCUE,
    SNAPSHOT,
    BACKUP,
    SHELVE,
    SHELVE_OFFLOAD,
    UNSHELVE,
    CHANGE_PASSWORD,
    TRIGGER_CRASH_DUMP,
    SOFT_DELETE,
    RESTORE,
    DELETE,
)
_BY_KIND = {move.kind: move for move in (*MOVES, CREATE) if move is not HARD_REBOOT}

# What a guest's power state makes of an instance that no task is about.
BY_ITSELF: dict[tuple[VmState.ValueType, PowerState.ValueType], VmState.ValueType] = {
    # It shut itself down, or crashed.
    (ACTIVE, PowerState.POWER_STATE_SHUTDOWN): STOPPED,
    (ACTIVE, PowerState.POWER_STATE_CRASHED): STOPPED,
    (PAUSED, PowerState.POWER_STATE_SHUTDOWN): STOPPED,
    (PAUSED, PowerState.POWER_STATE_CRASHED): STOPPED,
}


def move_of(kind: OperationKind.ValueType, arguments: OperationArguments) -> Move | None:
    """The row for a kind of work; None for one that isn't in the table."""
    if kind == _Kind.OPERATION_KIND_REBOOT and arguments.reboot_type == RebootType.REBOOT_TYPE_HARD:
        return HARD_REBOOT
    return _BY_KIND.get(kind)


def deletion_of(instance: Instance, reclaim_interval: int) -> OperationKind.ValueType:
    """What a user's delete is: soft where deletes are, and real for what never ran, for a resize that waits
    to be confirmed, and for what has been deleted already."""
    soft = (
        reclaim_interval > 0
        and instance.HasField("launched_at")
        and instance.vm_state not in (SOFT_DELETED, RESIZED)
        and instance.task_state != TaskState.TASK_STATE_DELETING
    )
    return _Kind.OPERATION_KIND_SOFT_DELETE if soft else _Kind.OPERATION_KIND_DELETE


def check(instance: Instance, move: Move) -> None:
    """Make sure that the table allows this work now.

    Raises StateConflictError.
    """
    wrong_state = bool(move.vm_states) and instance.vm_state not in move.vm_states
    busy = move.task_states is not None and instance.task_state not in move.task_states
    never_ran = move.launched and not instance.HasField("launched_at")
    if not (wrong_state or busy or never_ran):
        return
    if wrong_state:
        where = f"vm_state {vm_state_name(instance.vm_state)}"
    elif busy:
        where = f"task_state {task_state_name(instance.task_state)}"
    else:
        where = "launched_at None"
    raise StateConflictError(
        f"Cannot '{move.action}' instance {instance.id} while it is in {where}",
        conflict(instance, move, task_in_the_way=busy and not wrong_state),
    )


def refuse_before(instance: Instance, move: Move, other: Operation) -> NoReturn:
    """Refuse what would come after other work, whose task is named. Raises StateConflictError."""
    under_way = move_of(other.kind, other.arguments)
    task = task_state_name(under_way.task_state if under_way else instance.task_state)
    raise StateConflictError(
        f"Cannot '{move.action}' instance {instance.id} while it is in task_state {task}",
        conflict(instance, move, task_in_the_way=True),
    )


def check_lock(instance: Instance, move: Move, is_admin: bool) -> None:
    """Make sure that the instance isn't locked against this caller.

    Raises StateConflictError.
    """
    if move.locks:
        check_unlocked(instance, move.action, is_admin)


def check_unlocked(instance: Instance, action: str, is_admin: bool) -> None:
    """Make sure of the same for an action that isn't in the table.

    Raises StateConflictError, which names no states: none would help.
    """
    if instance.locked and not is_admin:
        raise StateConflictError(
            f"Instance {instance.id} is locked",
            errors.StateConflict(
                instance_id=instance.id,
                action=action,
                vm_state=instance.vm_state,
                task_state=instance.task_state,
            ),
        )


def conflict(instance: Instance, move: Move, *, task_in_the_way: bool = False) -> errors.StateConflict:
    """The typed detail of a refusal."""
    return errors.StateConflict(
        instance_id=instance.id,
        action=move.action,
        vm_state=instance.vm_state,
        task_state=instance.task_state,
        allowed_vm_states=sorted(move.vm_states),
        task_in_the_way=task_in_the_way,
    )

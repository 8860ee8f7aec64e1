"""Nova's names of states, and the one word that users see of them: a server's status."""

from collections.abc import Iterable

from novamesh.types.v1.instance_pb2 import TaskState, VmState


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()


VM_STATES: dict[int, str] = {value: _name(name, "VM_STATE_") for name, value in VmState.items()}
VM_STATES[VmState.VM_STATE_SOFT_DELETED] = "soft-delete"

TASK_STATES: dict[int, str | None] = {
    value: _name(name, "TASK_STATE_") for name, value in TaskState.items() if value
}
TASK_STATES[TaskState.TASK_STATE_UNSPECIFIED] = None
# Nova spells these with a hyphen.
TASK_STATES[TaskState.TASK_STATE_POWERING_OFF] = "powering-off"
TASK_STATES[TaskState.TASK_STATE_POWERING_ON] = "powering-on"
TASK_STATES[TaskState.TASK_STATE_SOFT_DELETING] = "soft-deleting"

_RESIZING: "dict[TaskState.ValueType, str]" = {
    TaskState.TASK_STATE_RESIZE_PREP: "RESIZE",
    TaskState.TASK_STATE_RESIZE_MIGRATING: "RESIZE",
    TaskState.TASK_STATE_RESIZE_MIGRATED: "RESIZE",
    TaskState.TASK_STATE_RESIZE_FINISH: "RESIZE",
}
_REBUILDING: "dict[TaskState.ValueType, str]" = {
    TaskState.TASK_STATE_REBUILDING: "REBUILD",
    TaskState.TASK_STATE_REBUILD_BLOCK_DEVICE_MAPPING: "REBUILD",
    TaskState.TASK_STATE_REBUILD_SPAWNING: "REBUILD",
}

# A vm_state's status, and the tasks under which it reads otherwise.
_TABLE: "tuple[tuple[VmState.ValueType, str, dict[TaskState.ValueType, str]], ...]" = (
    (VmState.VM_STATE_BUILDING, "BUILD", {}),
    (
        VmState.VM_STATE_ACTIVE,
        "ACTIVE",
        {
            TaskState.TASK_STATE_REBOOTING: "REBOOT",
            TaskState.TASK_STATE_REBOOTING_HARD: "HARD_REBOOT",
            TaskState.TASK_STATE_UPDATING_PASSWORD: "PASSWORD",
            TaskState.TASK_STATE_MIGRATING: "MIGRATING",
            **_RESIZING,
            **_REBUILDING,
        },
    ),
    (VmState.VM_STATE_STOPPED, "SHUTOFF", {**_RESIZING, **_REBUILDING}),
    (VmState.VM_STATE_RESIZED, "VERIFY_RESIZE", {TaskState.TASK_STATE_RESIZE_REVERTING: "REVERT_RESIZE"}),
    (VmState.VM_STATE_PAUSED, "PAUSED", {TaskState.TASK_STATE_MIGRATING: "MIGRATING"}),
    (VmState.VM_STATE_SUSPENDED, "SUSPENDED", {}),
    (VmState.VM_STATE_RESCUED, "RESCUE", {}),
    (VmState.VM_STATE_ERROR, "ERROR", {**_REBUILDING}),
    (VmState.VM_STATE_DELETED, "DELETED", {}),
    (VmState.VM_STATE_SOFT_DELETED, "SOFT_DELETED", {}),
    (VmState.VM_STATE_SHELVED, "SHELVED", {}),
    (VmState.VM_STATE_SHELVED_OFFLOADED, "SHELVED_OFFLOADED", {}),
)

_STATUSES: dict[tuple[int, int], str] = {
    (vm_state, task_state): tasks.get(task_state, status)
    for vm_state, status, tasks in _TABLE
    for task_state in TaskState.values()
}
VM_STATES_BY_NAME: "dict[str, VmState.ValueType]" = {
    VM_STATES[value]: value for value in VmState.values() if value
}
TASK_STATES_BY_NAME: "dict[str, TaskState.ValueType]" = {
    str(TASK_STATES[value]): value for value in TaskState.values() if value
}


def status_of(vm_state: int, task_state: int) -> str:
    """What `status` shows."""
    return _STATUSES.get((vm_state, task_state), "UNKNOWN")


def states_of(
    statuses: Iterable[str],
) -> "tuple[list[VmState.ValueType], list[TaskState.ValueType]]":
    """The vm_states that can have one of these statuses, and the tasks they then have.

    No tasks means any. Both empty: there is no such status.
    """
    wanted = {status.lower() for status in statuses}
    vm_states: list[VmState.ValueType] = []
    task_states: list[TaskState.ValueType] = []
    any_task = False
    for vm_state, status, tasks in _TABLE:
        hits = [task for task, word in tasks.items() if word.lower() in wanted]
        if status.lower() in wanted:
            any_task = True
        elif not hits:
            continue
        vm_states.append(vm_state)
        task_states.extend(hits)
    return vm_states, [] if any_task else task_states

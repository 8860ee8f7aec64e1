"""The table of allowed moves: what it permits, what it says when it doesn't, walked at random."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from novamesh.failures import StateConflictError
from novamesh.types.v1.instance_pb2 import Instance, PowerState, TaskState, VmState
from novamesh.types.v1.operation_pb2 import OperationArguments, OperationKind, RebootType
from services.conductor import endings, states
from services.conductor.states import MOVES, Move

HARD = OperationArguments(reboot_type=RebootType.REBOOT_TYPE_HARD)


def _instance(vm_state: VmState.ValueType, *, launched: bool = True) -> Instance:
    instance = Instance(id="i", vm_state=vm_state)
    if launched:
        instance.launched_at.GetCurrentTime()
    return instance


def _allows(instance: Instance, move: Move) -> bool:
    try:
        states.check(instance, move)
    except StateConflictError:
        return False
    return True


@given(st.lists(st.tuples(st.sampled_from(MOVES), st.sampled_from(["ends", "fails", "stays"])), max_size=30))
def test_a_walk_at_random_never_leaves_the_table(walk: list[tuple[Move, str]]) -> None:
    instance = _instance(states.ACTIVE)
    reachable = {move.result for move in MOVES if move.result is not None} | {states.ERROR}
    for move, outcome in walk:
        if instance.vm_state == states.DELETED:
            break
        before, state_before = instance.SerializeToString(), instance.vm_state
        if not _allows(instance, move):
            assert instance.SerializeToString() == before
            # What the refusal names really would have been allowed.
            with pytest.raises(StateConflictError) as refused:
                states.check(instance, move)
            for allowed in refused.value.detail.allowed_vm_states:  # type: ignore[attr-defined]
                assert _allows(_instance(allowed), move)
            continue
        instance.task_state = move.task_state
        if outcome == "ends":
            endings.reach(instance, move, PowerState.POWER_STATE_RUNNING)
            assert instance.vm_state == (state_before if move.result is None else move.result)
            assert instance.task_state == states.IDLE
        elif outcome == "fails":
            instance.task_state = states.IDLE
        assert instance.vm_state in reachable
        # Whatever happens, it can be deleted.
        assert _allows(instance, states.DELETE)


@given(
    st.sampled_from(MOVES), st.sampled_from(list(VmState.values())), st.sampled_from(list(TaskState.values()))
)
def test_only_what_the_table_names_is_allowed(
    move: Move, vm_state: VmState.ValueType, task_state: TaskState.ValueType
) -> None:
    instance = _instance(vm_state)
    instance.task_state = task_state
    expected = (not move.vm_states or vm_state in move.vm_states) and (
        move.task_states is None or task_state in move.task_states
    )
    assert _allows(instance, move) == expected


def test_each_kind_has_its_row_and_a_hard_reboot_its_own() -> None:
    for move in MOVES:
        arguments = HARD if move is states.HARD_REBOOT else OperationArguments()
        assert states.move_of(move.kind, arguments) is move
    assert states.move_of(OperationKind.OPERATION_KIND_UNSPECIFIED, OperationArguments()) is None


def test_a_refusal_speaks_novas_words() -> None:
    with pytest.raises(StateConflictError, match="Cannot 'pause' instance i while it is in vm_state stopped"):
        states.check(_instance(states.STOPPED), states.PAUSE)
    busy = _instance(states.ACTIVE)
    busy.task_state = TaskState.TASK_STATE_POWERING_OFF
    with pytest.raises(StateConflictError, match="while it is in task_state powering-off") as refused:
        states.check(busy, states.PAUSE)
    assert refused.value.detail.task_in_the_way  # type: ignore[attr-defined]
    assert refused.value.allowed == ("active",)


def test_a_guest_that_never_ran_can_only_be_deleted() -> None:
    broken = _instance(states.ERROR, launched=False)
    assert [move for move in MOVES if _allows(broken, move)] == [states.DELETE]


def test_a_lock_holds_against_all_but_administrators() -> None:
    locked = _instance(states.ACTIVE)
    locked.locked = True
    states.check_lock(locked, states.DELETE, True)
    with pytest.raises(StateConflictError, match="is locked"):
        states.check_lock(locked, states.DELETE, False)

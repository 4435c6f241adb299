"""The session's machine against a table written out on its own, and what holds for any sane machine."""

from __future__ import annotations

import pytest

from sessions.states import (
    ATTEMPT_STATES,
    LINKED_STATES,
    TRANSITIONS,
    IllegalTransition,
    State,
    Trigger,
    next_state,
)

# One line per trigger, one column per state; `.` is illegal. Written from the contract, not from the code.
_MATRIX = """
                unpaired   pairing       authenticated connecting   connected    reconnecting logged_out stopped    failed
pair            pairing    pairing       pairing       .            .            .            .          pairing    pairing
start-linked    .          .             .             connecting   connecting   connecting   .          connecting connecting
start-unlinked  .          .             .             .            .            .            .          unpaired   unpaired
stop            stopped    stopped       stopped       stopped      stopped      stopped      stopped    stopped    stopped
unpair          unpaired   unpaired      unpaired      unpaired     unpaired     unpaired     unpaired   unpaired   unpaired
scanned         .          authenticated .             .            .            .            .          .          .
connected       .          connected     connected     connected    connected    connected    .          .          .
disconnected    .          .             .             reconnecting reconnecting reconnecting .          .          .
logged-out      .          .             .             logged_out   logged_out   logged_out   .          .          .
device-found    connecting connecting    connecting    .            .            .            .          .          .
device-gone     .          .             .             unpaired     unpaired     unpaired     .          unpaired   unpaired
attempt-over    .          unpaired      unpaired      unpaired     .            unpaired     .          .          .
wiped           .          .             .             .            .            .            unpaired   .          .
failure         failed     failed        failed        failed       failed       failed       failed     failed     failed
"""  # noqa: E501


def _expected() -> dict[tuple[State, Trigger], State | None]:
    header, *lines = _MATRIX.strip().splitlines()
    states = [State(word) for word in header.split()]
    table: dict[tuple[State, Trigger], State | None] = {}
    for line in lines:
        trigger, *cells = line.split()
        for state, cell in zip(states, cells, strict=True):
            table[state, Trigger(trigger)] = None if cell == "." else State(cell)
    return table


EXPECTED = _expected()
LEGAL = [(state, trigger, new) for (state, trigger), new in EXPECTED.items() if new is not None]
ILLEGAL = [pair for pair, new in EXPECTED.items() if new is None]


def test_the_matrix_names_every_pair() -> None:
    assert set(EXPECTED) == {(state, trigger) for state in State for trigger in Trigger}


@pytest.mark.parametrize(("state", "trigger", "new"), LEGAL)
def test_legal_pair_leads_where_the_contract_says(state: State, trigger: Trigger, new: State) -> None:
    assert next_state(state, trigger) is new


@pytest.mark.parametrize(("state", "trigger"), ILLEGAL)
def test_illegal_pair_raises_and_changes_nothing(state: State, trigger: Trigger) -> None:
    before = {one: dict(row) for one, row in TRANSITIONS.items()}
    with pytest.raises(IllegalTransition) as caught:
        next_state(state, trigger)
    assert (caught.value.state, caught.value.trigger) == (state, trigger)
    assert trigger.value in str(caught.value)
    assert state.value in str(caught.value)
    assert before == TRANSITIONS


@pytest.mark.parametrize("trigger", list(Trigger))
def test_every_trigger_is_used(trigger: Trigger) -> None:
    assert any(trigger in row for row in TRANSITIONS.values())


def _reachable_from(start: State) -> set[State]:
    seen, todo = {start}, [start]
    while todo:
        for new in TRANSITIONS[todo.pop()].values():
            if new not in seen:
                seen.add(new)
                todo.append(new)
    return seen


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_reached_from_a_new_account_and_leads_to_every_other(state: State) -> None:
    assert state in _reachable_from(State.UNPAIRED)
    assert _reachable_from(state) == set(State)


@pytest.mark.parametrize("state", list(State))
def test_an_operator_can_always_stop_unpair_and_a_fault_can_always_be_named(state: State) -> None:
    assert next_state(state, Trigger.STOP) is State.STOPPED
    assert next_state(state, Trigger.UNPAIR) is State.UNPAIRED
    assert next_state(state, Trigger.FAILURE) is State.FAILED


def test_no_pairing_begins_over_a_linked_session() -> None:
    assert all(Trigger.PAIR not in TRANSITIONS[state] for state in LINKED_STATES)


def test_the_sets_of_states_do_not_overlap() -> None:
    assert not LINKED_STATES & ATTEMPT_STATES

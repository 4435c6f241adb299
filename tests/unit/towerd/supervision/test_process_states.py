"""The worker process's machine: every pair, written out on its own."""

from __future__ import annotations

import pytest

from towerd.supervision.process_states import (
    PROCESS_TRANSITIONS,
    ProcessState,
    ProcessTrigger,
    next_process_state,
)

_MATRIX = """
       starting running  stopping exited
begun  running  .        stopping .
end    stopping stopping stopping .
exit   exited   exited   exited   .
"""


def _expected() -> dict[tuple[ProcessState, ProcessTrigger], str]:
    header, *lines = _MATRIX.strip().splitlines()
    return {
        (ProcessState(state), ProcessTrigger(line.split()[0])): cell
        for line in lines
        for state, cell in zip(header.split(), line.split()[1:], strict=True)
    }


@pytest.mark.parametrize(("state", "trigger", "cell"), [(*pair, cell) for pair, cell in _expected().items()])
def test_pair_leads_where_it_should_or_is_a_bug(
    state: ProcessState, trigger: ProcessTrigger, cell: str
) -> None:
    if cell == ".":
        with pytest.raises(KeyError):
            next_process_state(state, trigger)
    else:
        assert next_process_state(state, trigger) is ProcessState(cell)


def test_every_state_is_in_the_table_and_only_the_end_is_final() -> None:
    assert set(PROCESS_TRANSITIONS) == set(ProcessState)
    assert [state for state, row in PROCESS_TRANSITIONS.items() if not row] == [ProcessState.EXITED]

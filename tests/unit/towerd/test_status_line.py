"""What `systemctl status` says of the daemon."""

from __future__ import annotations

import pytest

from sessions.states import State
from towerd.daemon import status_line


@pytest.mark.parametrize(
    ("states", "line"),
    [
        ([], "0/0 connected"),
        ([State.CONNECTED, State.CONNECTED], "2/2 connected"),
        (
            [State.STOPPED, State.CONNECTED, State.FAILED, State.STOPPED],
            "1/4 connected; 1 failed, 2 stopped",
        ),
    ],
)
def test_status_counts_the_accounts_by_state(states: list[State], line: str) -> None:
    assert status_line(states, start_done=len(states), start_total=len(states)) == line


def test_status_says_how_far_the_start_is() -> None:
    states = [State.CONNECTED] * 37 + [State.CONNECTING] * 53
    line = status_line(states, start_done=37, start_total=90)
    assert line == "starting, 37/90 done: 37/90 connected; 53 connecting"

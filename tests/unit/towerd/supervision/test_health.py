"""Health levels and their reasons."""

from __future__ import annotations

import pytest

from sessions.states import State
from towerd.supervision.health import Condition, health


@pytest.mark.parametrize(
    ("state", "reason", "doubtful", "tired", "expected"),
    [
        (State.CONNECTED, None, False, False, ("healthy", [])),
        (State.CONNECTED, None, True, False, ("warning", ["server-silent"])),
        (State.CONNECTING, None, False, False, ("healthy", [])),
        (State.PAIRING, None, False, False, ("inactive", [])),
        (State.PAIRING, "logged-out-by-phone", False, False, ("warning", ["logged-out-by-phone"])),
        (State.AUTHENTICATED, None, False, False, ("inactive", [])),
        (State.RECONNECTING, "refused", False, False, ("warning", ["refused"])),
        (State.RECONNECTING, "refused", False, True, ("critical", ["refused", "reconnects-failed"])),
        (State.LOGGED_OUT, "logged-out-by-phone", False, False, ("warning", ["logged-out-by-phone"])),
        (State.FAILED, "locked", False, False, ("critical", ["locked"])),
        (State.STOPPED, "stopped-by-operator", False, False, ("inactive", ["stopped-by-operator"])),
        (State.UNPAIRED, "never-paired", False, False, ("inactive", ["never-paired"])),
    ],
)
def test_level_and_reasons(
    state: State, reason: str | None, doubtful: bool, tired: bool, expected: tuple[str, list[str]]
) -> None:
    condition = Condition(state=state, reason=reason, is_doubtful=doubtful, is_tired=tired)
    assert health(condition) == expected

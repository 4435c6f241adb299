"""Health levels and their reasons."""

from __future__ import annotations

import pytest

from sessions.states import State
from towerd.protocol.types import Health
from towerd.supervision.health import Condition, health, status_of


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


@pytest.mark.parametrize(
    ("share", "doubtful", "expected"),
    [
        (0.699, False, ("healthy", [])),
        (0.7, False, ("warning", ["daily-limit"])),
        (0.9, False, ("warning", ["daily-limit"])),
        (0.901, False, ("critical", ["daily-limit"])),
        (0.7, True, ("warning", ["daily-limit", "server-silent"])),
        (1.0, True, ("critical", ["daily-limit", "server-silent"])),
    ],
)
def test_a_daily_limit_that_is_near_has_its_levels_and_no_reason_hides_another(
    share: float, doubtful: bool, expected: tuple[str, list[str]]
) -> None:
    condition = Condition(
        state=State.CONNECTED, reason=None, is_doubtful=doubtful, is_tired=False, daily_share=share
    )
    assert health(condition) == expected


@pytest.mark.parametrize(
    ("levels", "status"),
    [
        ([], "unknown"),
        (["healthy", "inactive"], "ok"),
        (["healthy", "warning"], "warning"),
        (["critical", "warning", "healthy"], "critical"),
    ],
)
def test_the_status_of_several_is_that_of_the_worst(levels: list[Health], status: str) -> None:
    assert status_of(levels) == status

"""How well an account is, in levels that monitoring understands, and why.

The one rule: a pure function of what is true; whoever changes what is true asks again.
"""

from __future__ import annotations

from dataclasses import dataclass

from sessions.states import State
from towerd.protocol.types import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What health is made of.

    Attributes:
        is_doubtful: a connected session owes a sign of life.
        is_tired: so many reconnects failed that a human should look.
    """

    state: State
    reason: str | None
    is_doubtful: bool
    is_tired: bool


def health(condition: Condition) -> tuple[Health, list[str]]:
    """Return the level and the reasons for it."""
    match condition.state:
        case State.UNPAIRED | State.STOPPED:
            return "inactive", [condition.reason] if condition.reason else []
        case State.FAILED:
            return "critical", [condition.reason or "failed"]
        case State.RECONNECTING | State.LOGGED_OUT:
            reasons = [condition.reason] if condition.reason else []
            if condition.is_tired:
                return "critical", [*reasons, "reconnects-failed"]
            return "warning", reasons
        case State.PAIRING | State.AUTHENTICATED:
            return ("warning", [condition.reason]) if condition.reason else ("inactive", [])
        case State.CONNECTED if condition.is_doubtful:
            return "warning", ["server-silent"]
        case _:
            return "healthy", []

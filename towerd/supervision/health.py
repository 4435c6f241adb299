"""How well an account is, in levels that monitoring understands, and why.

The one rule: a pure function of what is true; whoever changes what is true asks again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sessions.states import State
from towerd.protocol.health import HealthStatus
from towerd.protocol.types import Health

_WARNING_SHARE = 0.7
_CRITICAL_SHARE = 0.9
"""Above this health is critical, at it still a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What health is made of.

    Attributes:
        is_doubtful: a connected session owes a sign of life.
        is_tired: so many reconnects failed that a human should look.
        daily_share: texts sent today as a share of the daily limit.
    """

    state: State
    reason: str | None
    is_doubtful: bool
    is_tired: bool
    daily_share: float = 0.0


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
        case State.CONNECTED:
            return _while_connected(condition)
        case State.CONNECTING:
            return "healthy", []


def _while_connected(condition: Condition) -> tuple[Health, list[str]]:
    is_near = condition.daily_share >= _WARNING_SHARE
    reasons = ["daily-limit"] * is_near + ["server-silent"] * condition.is_doubtful
    if condition.daily_share > _CRITICAL_SHARE:
        return "critical", reasons
    return ("warning" if reasons else "healthy"), reasons


def status_of(levels: Iterable[Health]) -> HealthStatus:
    """Return the status of several accounts: the worst of theirs; those that are inactive are ok."""
    found = set(levels)
    if not found:
        return "unknown"
    if "critical" in found:
        return "critical"
    return "warning" if "warning" in found else "ok"

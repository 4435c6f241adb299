"""How well one account is from moment to moment.

The one rule: a change of the level is an event, and there is no event without one.
"""

from __future__ import annotations

from towerd.supervision.account_state import AccountState
from towerd.supervision.backoff import Backoff
from towerd.supervision.health import Condition, health
from towerd.supervision.tally import Tally
from towerd.supervision.truth import Pulse


class Wellbeing:
    """Watches one account's health.

    Args:
        account: has the state, and takes the events.
        pulse: knows whether a session owes a sign of life.
        backoff: knows whether reconnecting has become hopeless.
        tally: knows how near the daily limit is.
    """

    def __init__(self, account: AccountState, pulse: Pulse, backoff: Backoff, tally: Tally) -> None:
        self._account = account
        self._pulse = pulse
        self._backoff = backoff
        self._tally = tally
        self._level, _ = health(self.condition)
        account.watch(self._look)

    @property
    def condition(self) -> Condition:
        """What the account's health is made of."""
        record = self._account.record
        return Condition(
            state=record.state,
            reason=record.reason,
            is_doubtful=self._pulse.is_doubtful,
            is_tired=self._backoff.is_slow,
            daily_share=self._tally.sent / self._tally.daily_limit,
        )

    def _look(self) -> None:
        """Say when the level changes."""
        level, reasons = health(self.condition)
        if level != self._level:
            old, self._level = self._level, level
            self._account.emit("health.changed", {"old": old, "new": level, "reasons": reasons})

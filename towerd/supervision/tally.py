"""What one account has sent and received on the present day, and what it may send.

The one rule: a day is one of the configured zone and is looked at each time, so that midnight comes right
whatever the daemon or the clock did meanwhile.
"""

from __future__ import annotations

import asyncio

from towerd.clock import day_of
from towerd.supervision.account_state import AccountState
from towerd.supervision.surroundings import Surroundings


class Tally:
    """Counts one account's messages of the present day.

    Args:
        account: whose messages they are.
        around: the daemon's parts.
    """

    def __init__(self, account: AccountState, around: Surroundings) -> None:
        self._account = account
        self._around = around
        self._day = ""
        self._sent = 0
        self._received = 0
        self._reading = asyncio.Lock()

    @property
    def day(self) -> str:
        """The present day, such as 2026-01-31."""
        return day_of(self._around.clock.now(), self._around.config.messages.zone)

    async def look(self) -> None:
        """Read the counts of the present day, unless they are at hand.

        Raises:
            TowerError: `registry-unavailable`.
        """
        account_id = self._account.record.id
        # One at a time: what a second one read earlier must not replace what was counted meanwhile.
        async with self._reading:
            day = self.day
            if day == self._day:
                return
            found = await self._around.ledger.read(lambda registry: registry.traffic(account_id, day))
            self._day, self._sent, self._received = day, found.sent, found.received
        self._account.changed()

    def count(self, day: str, *, sent: int = 0, received: int = 0) -> None:
        """Count what was committed for a day; another one than that at hand is read when it is looked at.

        Whoever commits looks first: what is read between a commit and this would be counted twice.
        """
        if day == self._day:
            self._sent += sent
            self._received += received
        self._account.changed()

    @property
    def sent(self) -> int:
        """Texts sent on the present day, as far as it was looked at."""
        return self._sent if self._day == self.day else 0

    @property
    def received(self) -> int:
        """Messages received on the present day, as far as it was looked at."""
        return self._received if self._day == self.day else 0

    @property
    def daily_limit(self) -> int:
        """How many texts the account may send in a day: a limit of its own, else that of all."""
        return self._account.record.daily_limit or self._around.config.limits.daily

    @property
    def per_minute_limit(self) -> int:
        """How many texts the account may send in any 60 seconds: a limit of its own, else that of all."""
        return self._account.record.per_minute_limit or self._around.config.limits.per_minute

"""A phone's number that neither scan nor login told.

The one rule: an account never waits for its phone's number; when it is not known after a while, that is said.
"""

from __future__ import annotations

import logging

from towerd.supervision.account_state import AccountState
from towerd.supervision.timers import Timers

log = logging.getLogger(__name__)

PHONE_SECONDS = 18.0
"""So long a number may take before an event says that it is not known."""


class LatePhone:
    """Knows whether an account's phone is known.

    Args:
        account: whose phone.
        timers: the account's.
    """

    def __init__(self, account: AccountState, timers: Timers) -> None:
        self._account = account
        self._timers = timers

    def expect(self) -> None:
        """A scan or a login should have told the number."""
        if self._account.record.phone is None:
            self._timers.start("phone", PHONE_SECONDS, self._tell)

    def _tell(self) -> None:
        """The account connects all the same; the claim runs again when the number becomes known."""
        if self._account.record.phone is None:
            log.warning("%s: the phone's number is not known yet; going on without", self._account.name)
            self._account.emit("session.phone_unknown", {})

"""Messages that are too many or too old, of all accounts, also of those to which nothing comes any more.

The one rule: what is deleted is what the configuration says is not kept, and nothing that waits to be sent.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from towerd.accounts.ledger import Ledger
from towerd.accounts.registry import Registry
from towerd.clock import Clock
from towerd.protocol.errors import TowerError
from towerd.settings import Settings

log = logging.getLogger(__name__)

_FIRST_SECONDS = 60.0
_PERIOD_SECONDS = 3600.0


class Housekeeping:
    """Looks through the accounts now and then.

    Args:
        settings: say what is kept.
        ledger: has the messages.
        clock: gives times.
    """

    def __init__(self, settings: Settings, *, ledger: Ledger, clock: Clock) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock

    async def run(self) -> None:
        """Look for ever; the start of the daemon comes first."""
        await asyncio.sleep(_FIRST_SECONDS)
        while True:
            try:
                await self.look()
            except TowerError as error:
                log.error("old messages could not be deleted, trying again later: %s", error.message)
            await asyncio.sleep(_PERIOD_SECONDS)

    async def look(self) -> None:
        """Delete once; each account by itself, so that nobody waits long for the ledger.

        Raises:
            TowerError: `registry-unavailable`.
        """
        limits = self._settings.current.messages
        before = self._clock.now() - limits.kept_days * 86400.0
        for account in await self._ledger.read(lambda registry: registry.accounts()):
            await self._ledger.read(
                partial(Registry.prune, account_id=account.id, kept=limits.kept, before=before)
            )

"""What the columns of intent become by what happened, or by how a command ended.

The one rule: it fails nobody. What the disk does not take is kept in memory, and written under the account's
lock as soon as the disk lets; a daemon that ends before that finishes the recorded intent at its next start.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from towerd.accounts.ledger import Ledger
from towerd.protocol.errors import TowerError
from towerd.supervision.account_state import AccountState

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Conclusions:
    """Writes one account's conclusions.

    Args:
        account: whose columns they are.
        ledger: writes what happened.
        lock: the account's; whoever draws a conclusion holds it.
    """

    def __init__(self, account: AccountState, ledger: Ledger, *, lock: asyncio.Lock) -> None:
        self._account = account
        self._ledger = ledger
        self._lock = lock
        self._writer: asyncio.Task[None] | None = None

    async def draw(self, **columns: Any) -> None:
        """Set intent columns; returns also when they could not be written yet."""
        try:
            await self._account.intend(**columns)
        except TowerError as error:
            log.error("%s: going on although %s", self._account.name, error.message)
            self._account.presume(**columns)
            if self.are_written:
                self._writer = asyncio.create_task(self._write(), name=f"intent {self._account.name}")

    async def settle(self) -> None:
        """Wait until what happened is durable; a full disk is no reason to stop."""
        try:
            await self._ledger.settle()
        except TowerError as error:
            log.error("%s: going on although %s", self._account.name, error.message)

    @property
    def are_written(self) -> bool:
        """True unless something still waits for the disk."""
        return self._writer is None or self._writer.done()

    def close(self) -> None:
        """Give up, because the daemon ends."""
        if self._writer is not None:
            self._writer.cancel()

    async def _write(self) -> None:
        while not self._account.is_removed:
            await asyncio.sleep(_RETRY_SECONDS)
            async with self._lock:
                try:
                    await self._account.intend(always=True)
                except TowerError as error:
                    log.debug("%s: %s", self._account.name, error.message)
                else:
                    return

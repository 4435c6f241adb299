"""What reports and timers of one account call for and cannot do at once.

The one rule: an aftermath runs under the account's lock, in the order of asking, and not at all when the
worker that it was about is another by then.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any

from sessions.store import StoreLockedError
from towerd.protocol.errors import TowerError
from towerd.settings import Settings
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.timers import Timers

log = logging.getLogger(__name__)

Aftermath = Callable[[], Coroutine[Any, Any, object]]


class Aftermaths:
    """One account's lock and timers, and those who wait for them.

    Args:
        account: whose they are; nothing is done any more once it is removed.
        carrier: its worker's generation says whether an aftermath comes too late.
        settings: has how long to wait when the state directory cannot be used.

    Attributes:
        lock: held by each command and each aftermath from its first write to its last.
        timers: what is to be done later, by name.
        is_closing: the daemon ends, and nothing is decided any more.
    """

    def __init__(self, account: AccountState, carrier: Carrier, settings: Settings) -> None:
        self.lock = asyncio.Lock()
        self.timers = Timers()
        self.is_closing = False
        self._account = account
        self._carrier = carrier
        self._settings = settings
        self._tasks: set[asyncio.Task[None]] = set()

    def after(self, work: Aftermath, *, whatever_worker: bool = False) -> None:
        """Do something as soon as the lock is free, unless the worker it was about is another by then."""
        self.background(self._under_lock(work, None if whatever_worker else self._carrier.generation))

    def later(
        self, name: str, delay_seconds: float, work: Aftermath, *, whatever_worker: bool = False
    ) -> None:
        """Do something under the lock when a timer has run out."""
        self.timers.start(name, delay_seconds, lambda: self.after(work, whatever_worker=whatever_worker))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that holds no lock; it ends with the daemon."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def give_up(self) -> None:
        """End all that waits or is under way."""
        for task in self._tasks:
            task.cancel()

    @property
    def are_over(self) -> bool:
        """True while nothing waits and nothing is under way."""
        return not self._tasks

    async def _under_lock(self, work: Aftermath, generation: int | None) -> None:
        async with self.lock:
            is_late = generation not in (None, self._carrier.generation)
            if is_late or self.is_closing or self._account.is_removed:
                return
            try:
                await work()
            except TowerError as error:
                log.error("%s: %s", self._account.name, error.message)
            except (OSError, sqlite3.Error, StoreLockedError) as error:
                log.error("%s: the state directory cannot be used: %s", self._account.name, error)
                self.later("retry", self._settings.current.reconnect.cap_seconds, work)

"""The breaker over all accounts: when WhatsApp refuses many at once, one tries and the rest hold.

The one rule: while it is open nobody logs in but the canary. It closes by itself when the canary gets in, or
when there is nobody left to try; and by command.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import daemon_event
from towerd.clock import Clock
from towerd.config import FleetConfig
from towerd.settings import Settings

log = logging.getLogger(__name__)

Cause = Literal["client-outdated", "unlink-wave"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    release: Callable[[], None]
    can_test: bool


class Fleet:
    """The breaker.

    Args:
        settings: has what makes a wave, and how long the canary waits between tries.
        clock: gives times of events, and measures a wave.
        ledger: takes the events.
    """

    def __init__(self, settings: Settings, *, clock: Clock, ledger: Ledger) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._held: dict[str, _Held] = {}
        self._unlinked: dict[str, float] = {}
        self._tries = 0
        self._canary_release: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watchers: list[Callable[[], None]] = []
        self.cause: Cause | None = None
        self.canary: str | None = None
        self.since: float | None = None

    @property
    def _config(self) -> FleetConfig:
        return self._settings.current.fleet

    @property
    def is_open(self) -> bool:
        """True while accounts are held."""
        return self.cause is not None

    @property
    def held(self) -> list[str]:
        """Ids of the accounts that wait."""
        return list(self._held)

    def admits(self, account_id: str) -> bool:
        """Tell whether an account may try to log in or to pair."""
        return not self.is_open or account_id == self.canary

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function whenever the breaker opens or closes."""
        self._watchers.append(watcher)

    def hold(self, account_id: str, release: Callable[[], None], *, can_test: bool) -> None:
        """Let an account wait.

        Args:
            account_id: who waits.
            release: called when it may go on, as the canary or with the others.
            can_test: it has a linked device, so its login tells how WhatsApp is disposed.
        """
        self._held[account_id] = _Held(release=release, can_test=can_test)
        if self.canary is None:
            self._choose_canary()

    def forget(self, account_id: str) -> None:
        """An account is stopped, unpaired or gone: it waits no longer, and it is no canary."""
        self._held.pop(account_id, None)
        if self.canary == account_id:
            self.canary = self._canary_release = None
            self._choose_canary()
            if self.canary is None:
                self.close("nobody is left to try")

    def report_outdated(self, account_id: str) -> bool:
        """WhatsApp called the client outdated.

        Returns:
            True when this account is the canary and goes on trying; the others hold.
        """
        if not self.is_open:
            self._open("client-outdated", canary=account_id)
        if self.canary is None:
            self.canary = account_id
        return account_id == self.canary

    def report_unlinked(self, account_id: str) -> None:
        """WhatsApp said that a phone unlinked an account; several in a short time are a wave."""
        now = self._clock.monotonic()
        self._unlinked[account_id] = now
        recent = [when for when in self._unlinked.values() if now - when <= self._config.wave_seconds]
        if not self.is_open and len(recent) >= self._config.wave_accounts:
            self._open("unlink-wave", canary=None)
            # Without a linked account that wants to log in there is nobody to try.
            self._later(self._config.canary_seconds, self._close_if_idle)

    def report_connected(self, account_id: str) -> None:
        """An account got in: if it is the canary, all may."""
        self._unlinked.pop(account_id, None)
        if self.is_open and account_id == self.canary:
            self.close("the canary is connected")

    def is_canary_at_risk(self, account_id: str) -> bool:
        """Tell whether a refusal of this account is to be undone: it only tries for the others."""
        return self.cause == "unlink-wave" and account_id == self.canary

    def next_try_seconds(self) -> float:
        """Return how long the canary waits before its next try; it doubles up to an hour."""
        delay = min(self._config.canary_seconds * 2.0**self._tries, 3600.0)
        self._tries += 1
        return delay * random.uniform(0.9, 1.1)  # noqa: S311 - jitter

    def expect_canary(self, release: Callable[[], None]) -> None:
        """Note how the canary is made to try at once, for when somebody closes the breaker by command."""
        self._canary_release = release

    def close(self, why: str, *, by_command: bool = False) -> None:
        """Close, and let all go on that were held; by command the canary tries at once as well."""
        if not self.is_open:
            return
        log.warning("the fleet goes on: %s", why)
        self._emit("fleet.closed", {"cause": self.cause, "why": why, "held": len(self._held)})
        if self._timer is not None:
            self._timer.cancel()
        canary, self._canary_release = self._canary_release, None
        if canary is not None and by_command:
            canary()
        self.cause = self.canary = self.since = None
        self._tries = 0
        self._unlinked.clear()
        self._tell()
        held, self._held = self._held, {}
        window = self._config.release_seconds * max(0, len(held) - 1)
        for one in held.values():
            # Not all at once: that is what WhatsApp had enough of.
            self._soon(random.uniform(0, window), one.release)  # noqa: S311 - jitter

    def _open(self, cause: Cause, *, canary: str | None) -> None:
        self.cause, self.canary, self.since, self._tries = cause, canary, self._clock.now(), 0
        log.error("the fleet is held: %s; one account goes on trying", cause)
        self._emit("fleet.opened", {"cause": cause})
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _choose_canary(self) -> None:
        account_id = next((key for key, one in self._held.items() if one.can_test), None)
        if not self.is_open or account_id is None:
            return
        release = self._held.pop(account_id).release
        self.canary = account_id
        if self.cause == "unlink-wave":
            release()
        else:
            self.expect_canary(release)
            self._later(self.next_try_seconds(), release)

    def _close_if_idle(self) -> None:
        if self.is_open and self.canary is None:
            self.close("nobody is left to try")

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, call)

    def _soon(self, seconds: float, call: Callable[[], None]) -> None:
        if seconds > 0:
            asyncio.get_running_loop().call_later(seconds, call)
        else:
            call()

    def _emit(self, event_type: str, data: dict[str, Any]) -> None:
        self._ledger.post(events=[daemon_event(event_type, data, time=self._clock.now())])

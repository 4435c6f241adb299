"""What a worker's reports mean for the account, and what has to follow.

The one rule: a report is taken at once and only moves the state; whatever has to wait (a kill, a wipe, a new
start) is an aftermath under the lock. Reports of earlier workers never get here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from sessions import messages
from sessions.messages import Reports
from sessions.states import ATTEMPT_STATES, LINKED_STATES, State, Trigger
from towerd.clock import rfc3339
from towerd.reasons import REASONS, reason_while_pairing
from towerd.supervision.account_state import Retry
from towerd.supervision.carrier import Death
from towerd.supervision.lifecycle import NO_DEVICE, Lifecycle
from towerd.supervision.pairing import CODES_PER_ROUND
from towerd.supervision.reconcile import Finding

log = logging.getLogger(__name__)

_REPAIR_SECONDS = 1.0
"""Delay before the pairing that follows an unlink by the phone."""


class ReportReader:
    """Reads one account's reports.

    Args:
        life: the account's lifecycle.
    """

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._account = life.account
        self._carrier = life.carrier
        self._timers = life.timers
        self._config = life.config
        self._takers: dict[type[Any], Callable[[Any], None]] = {
            messages.QrShown: self._take_qr,
            messages.PairingOver: self._take_pairing_over,
            messages.Scanned: self._take_scanned,
            messages.Connected: self._take_connected,
            messages.IdentityLearned: self._take_identity,
            messages.Disconnected: self._take_disconnected,
            messages.LoggedOut: self._take_logged_out,
            messages.Banned: self._take_banned,
            messages.Outdated: lambda _report: self._give_up_soon("client-outdated"),
            messages.Replaced: lambda _report: self._give_up_soon("stream-replaced"),
            messages.ConnectFailed: lambda report: self._give_up_soon(f"connect-failure-{report.code}"),
            messages.StoreLocked: lambda _report: self._give_up_soon("store-locked"),
        }

    def take(self, report: Reports) -> None:
        """Make of a report what is true; runs at once, in the order of the reports."""
        if self._life.is_closing:
            return
        taker = self._takers.get(type(report))
        if taker is not None:
            taker(report)
        else:
            log.debug("%s: %s", self._account.name, type(report).__name__)

    def _take_qr(self, report: messages.QrShown) -> None:
        attempt = self._account.attempt
        if attempt is None or self._account.state is not State.PAIRING:
            return
        if not attempt.show(report.payload, report.number, report.issued_at) or attempt.offer is None:
            return
        self._timers.stop("connect")
        self._account.emit(
            "session.qr",
            {
                "round": attempt.round,
                "number": attempt.number,
                "count": CODES_PER_ROUND,
                "expires_at": rfc3339(attempt.offer.expires_at),
            },
        )
        if self._account.record.reason != reason_while_pairing(self._account.record.reason):
            self._account.move(Trigger.PAIR, None)
        self._account.changed()

    def _take_pairing_over(self, report: messages.PairingOver) -> None:
        match report.status:
            case "success":
                pass
            case "err-client-outdated":
                self._give_up_soon("client-outdated")
            case status if status.startswith("passkey"):
                self._give_up_soon("passkey-required")
            case status:
                log.info("%s: the codes of this round are over: %s", self._account.name, status)
                self._carrier.kill()

    def _take_scanned(self, report: messages.Scanned) -> None:
        facts = self._account.identify(report.identity)
        if self._account.move(Trigger.SCANNED, None, is_linked=True, is_confirmed=False, **facts):
            self._timers.stop("pairing", "connect")
            self._timers.start(
                "authenticated", self._config.pairing.authenticated_seconds, self._after_slow_restart
            )
            if self._account.attempt is not None:
                self._account.attempt.withdraw()

    def _take_connected(self, report: messages.Connected) -> None:
        facts = self._account.identify(report.identity) if report.identity else {}
        now = self._life.around.clock.now()
        was_connected = self._account.state is State.CONNECTED
        if self._account.record.intent == "logout":
            # A logout whose end was unknown did not happen; one that is running has a newer generation soon.
            self._life.after(self._account.intend(intent=None))
        moved = self._account.move(
            Trigger.CONNECTED,
            None,
            is_linked=True,
            is_confirmed=True,
            pairing_started_at=None,
            last_connected_at=now,
            last_seen_at=now,
            **facts,
        )
        if not moved:
            return
        self._account.attempt = None
        self._account.retry = None
        self._life.quick_deaths = 0
        self._timers.clear()
        self._timers.start("stable", self._config.reconnect.stable_seconds, self._life.backoff.reset)
        if not was_connected:
            self._account.emit("session.connected", {"phone": self._account.record.phone})
        self._account.changed()

    def _take_identity(self, report: messages.IdentityLearned) -> None:
        self._account.note(**self._account.identify(report.identity))

    def _take_disconnected(self, _report: messages.Disconnected) -> None:
        # While authenticated this is the restart that WhatsApp asked for; while pairing, PairingOver follows.
        if self._account.state is not State.CONNECTED:
            return
        self._account.retry = Retry(attempt=0, next_attempt_at=None)
        self._timers.stop("stable")
        self._timers.start("library", self._config.reconnect.library_seconds, self._carrier.kill)
        self._account.move(
            Trigger.DISCONNECTED, "connection-lost", last_disconnected_at=self._life.around.clock.now()
        )
        self._account.emit("session.disconnected", {"reason": "connection-lost"})

    def _take_logged_out(self, report: messages.LoggedOut) -> None:
        if self._account.record.intent is not None:
            # The logout that we asked for, confirmed the hard way.
            self._life.after(self._settle_logout())
        elif report.code == 403:
            self._give_up_soon("locked", unlinked=True)
        elif report.code == 406:
            self._give_up_soon("banned", unlinked=True)
        elif not self._account.record.is_confirmed:
            self._life.after(self._after_incomplete())
        elif self._account.move(Trigger.LOGGED_OUT, "logged-out-by-phone"):
            self._account.emit("session.logged_out", {"reason": "logged-out-by-phone", "by": "phone"})
            self._timers.clear()
            self._life.after(self._after_logged_out())

    def _take_banned(self, report: messages.Banned) -> None:
        if report.expires_in_seconds <= 0:
            self._give_up_soon("banned")
        else:
            self._life.after(self._wait_out_ban(float(report.expires_in_seconds)))

    def take_death(self, death: Death) -> None:
        """Take note that the worker ended by itself."""
        if not self._life.is_closing:
            self._life.after(self._after_death(death))
            # Who waits for a connection looks whether a worker still tries.
            self._account.changed()

    async def _after_death(self, death: Death) -> None:
        quick = death.lived_seconds < self._config.workers.crash_loop_seconds
        silent_crash = quick and death.cause == "worker-lost"
        self._life.quick_deaths = self._life.quick_deaths + 1 if silent_crash else 0
        was_running = self._account.state
        finding = await self._life.reconcile()
        if self._life.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self.after_device_gone()
        elif finding is Finding.NOTHING:
            self._next_round(death)
        elif was_running in ATTEMPT_STATES or finding is Finding.NEW_DEVICE:
            # The scan is recorded; log in at once, as the library would have.
            self._account.move(Trigger.DEVICE_FOUND, death.cause)
            await self._life.launch()
        elif was_running in LINKED_STATES:
            self._life.schedule_retry(death)

    async def after_device_gone(self) -> None:
        """The row vanished without our hearing of it: WhatsApp removed the device."""
        if self._account.record.intent == "logout":
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-operator")
        elif not self._account.record.is_confirmed:
            await self._after_incomplete()
        elif self._account.state in LINKED_STATES:
            self._account.move(Trigger.LOGGED_OUT, "logged-out-by-phone")
            self._account.emit("session.logged_out", {"reason": "logged-out-by-phone", "by": "phone"})
            await self._after_logged_out()
        else:
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-phone")

    async def _after_logged_out(self) -> None:
        """Recorded first, then wiped, then paired anew by itself."""
        await self._life.settle_somehow()
        await self._carrier.end()
        await self._life.forget(Trigger.WIPED, "logged-out-by-phone")
        if self._config.pairing.automatic and self._account.record.desired == "running":
            self._timers.start(
                "repair", _REPAIR_SECONDS, lambda: self._life.after(self._life.begin_attempt())
            )

    async def _after_incomplete(self) -> None:
        """The phone scanned, and WhatsApp did not know the device at the first login."""
        await self._carrier.end()
        attempt = self._account.attempt
        await self._life.forget(Trigger.ATTEMPT_OVER, "pairing-incomplete")
        if attempt is not None and self._life.around.clock.now() < attempt.deadline_at:
            await self._life.begin_attempt(attempt)

    async def _after_slow_restart_locked(self) -> None:
        finding = await self._life.end_worker()
        if self._life.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self._after_incomplete()
        else:
            self._account.move(Trigger.DEVICE_FOUND, "timeout")
            await self._life.launch()

    def _after_slow_restart(self) -> None:
        self._life.after(self._after_slow_restart_locked())

    def _give_up_soon(self, reason: str, *, unlinked: bool = False) -> None:
        self._life.after(self._give_up(reason, unlinked=unlinked))

    async def _give_up(self, reason: str, *, unlinked: bool = False) -> None:
        """Stop the worker and wait for a human."""
        if unlinked:
            # The library deletes the device row a moment after it reports; the kill may come in between.
            self._account.note(**NO_DEVICE)
            await self._life.settle_somehow()
            await self._carrier.end()
            await asyncio.to_thread(self._carrier.store.renew)
        else:
            await self._life.end_worker()
        self._life.fail(reason)

    async def _wait_out_ban(self, seconds: float) -> None:
        await self._life.end_worker()
        until = self._life.around.clock.now() + seconds
        self._account.retry = Retry(attempt=self._life.backoff.failures, next_attempt_at=until)
        self._account.move(Trigger.DISCONNECTED, "banned-until")
        self._timers.start("retry", seconds, lambda: self._life.after(self._life.launch()))

    async def _settle_logout(self) -> None:
        """A 401 under a logout of ours that had seemed to fail: it did happen."""
        await self._carrier.end()
        if self._account.record.intent == "logout":
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-operator")

    def _next_round(self, death: Death) -> None:
        """The worker of a pairing is gone: ask WhatsApp for new codes, as long as the attempt lasts."""
        attempt = self._account.attempt
        if attempt is None:
            return
        attempt.next_round()
        if self._life.fail_if_crash_loop():
            return
        if death.cause in REASONS and death.cause != "client-ended":
            self._account.move(Trigger.PAIR, death.cause)
        # The codes ran out, or the line dropped: at once. A worker that got nowhere: with patience.
        was_showing = death.lived_seconds >= self._config.workers.crash_loop_seconds or attempt.has_offered
        delay = (
            0.0 if was_showing and death.cause != "worker-lost" else self._life.backoff.next_delay_seconds()
        )
        self._timers.start("retry", delay, lambda: self._life.after(self._next_worker()))

    async def _next_worker(self) -> None:
        await asyncio.to_thread(self._carrier.store.renew)
        await self._life.launch()

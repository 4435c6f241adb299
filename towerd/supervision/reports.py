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
from sessions.messages import Identity, Reports
from sessions.states import ATTEMPT_STATES, LINKED_STATES, State, Trigger
from towerd.clock import rfc3339, wall_time
from towerd.reasons import REASONS, reason_while_pairing
from towerd.supervision.account_state import NO_DEVICE, Retry
from towerd.supervision.carrier import Death
from towerd.supervision.late_phone import LatePhone
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.logout import LOGOUT_SECONDS
from towerd.supervision.names import digits_of, international
from towerd.supervision.pairing import CODES_PER_ROUND
from towerd.supervision.pairing_code import ask_for_code
from towerd.supervision.process import OrderFailedError
from towerd.supervision.reconcile import Finding
from towerd.supervision.takeovers import Takeovers

log = logging.getLogger(__name__)

_CRASHES = frozenset({"worker-lost", "worker-memory"})
"""Ends of a worker that count as a crash: those that say nothing of the network."""
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
        self._takeovers = Takeovers(life.around.settings, life.around.clock)
        self._late_phone = LatePhone(life.account, life.timers)
        self._takers: dict[type[Any], Callable[[Any], None]] = {
            messages.QrShown: self._take_qr,
            messages.PairingOver: self._take_pairing_over,
            messages.Scanned: self._take_scanned,
            messages.Connected: self._take_connected,
            messages.IdentityLearned: self._take_identity,
            messages.Disconnected: self._take_disconnected,
            messages.LoggedOut: self._take_logged_out,
            messages.Banned: self._take_banned,
            messages.Outdated: lambda _report: self._life.after(self._after_outdated),
            messages.Replaced: lambda _report: self._life.after(self._after_replaced),
            messages.ConnectFailed: lambda report: self._give_up_soon(f"connect-failure-{report.code}"),
            messages.StoreLocked: lambda _report: self._give_up_soon("store-locked"),
            messages.MessageCame: self._life.inbox.take,
            messages.GroupTold: self._life.groups.take,
            messages.GroupsChanged: lambda _report: self._life.groups.refresh(),
            messages.KeepaliveMissed: lambda _report: self._life.pulse.doubt(),
            messages.KeepaliveRestored: lambda _report: self._life.pulse.feel(),
        }

    def take(self, report: Reports) -> None:
        """Make of a report what is true; runs at once, in the order of the reports."""
        if self._life.is_closing:
            return
        if not isinstance(report, messages.KeepaliveMissed):
            # Whatever the library reports of a connection, it has heard from the server.
            self._life.pulse.feel()
        taker = self._takers.get(type(report))
        if taker is not None:
            taker(report)
        else:
            log.debug("%s: %s", self._account.name, type(report).__name__)

    def take_death(self, death: Death) -> None:
        """Take note that the worker ended by itself."""
        if self._life.is_closing:
            return
        self._life.pulse.end()
        self._life.arrived()
        self._life.after(lambda: self._after_death(death))
        # Who waits for a connection looks whether a worker still tries.
        self._account.changed()

    # Pairing.

    def _take_qr(self, report: messages.QrShown) -> None:
        attempt = self._account.attempt
        if attempt is None or self._account.state is not State.PAIRING:
            return
        if not attempt.show(report.payload, report.number, report.issued_at) or attempt.offer is None:
            return
        self._life.arrived()
        lasting_cause = reason_while_pairing(self._account.record.cause)
        if self._account.record.reason != lasting_cause:
            self._account.move(Trigger.PAIR, lasting_cause)
        if attempt.phone is not None:
            # The line stands; the code goes over it, and ends with it.
            if report.number == 1:
                self._life.background(ask_for_code(self._life, attempt, attempt.phone))
            return
        self._account.emit(
            "session.qr",
            {
                "round": attempt.round,
                "number": attempt.number,
                "count": CODES_PER_ROUND,
                "expires_at": wall_time(attempt.offer.expires_at, self._life.around.clock),
            },
        )
        self._account.changed()

    def _take_pairing_over(self, report: messages.PairingOver) -> None:
        match report.status:
            case "success":
                pass
            case "err-client-outdated":
                self._life.after(self._after_outdated)
            case status if status.startswith("passkey"):
                self._give_up_soon("passkey-required")
            case status:
                log.info("%s: the codes of this round are over: %s", self._account.name, status)
                self._carrier.kill("codes-over")

    def _take_scanned(self, report: messages.Scanned) -> None:
        self._life.eviction = self._life.refusal(report.identity)
        if self._life.eviction is not None:
            self._life.begin_eviction()
            return
        facts = self._account.identify(report.identity)
        if self._account.move(Trigger.SCANNED, None, is_linked=True, is_confirmed=False, **facts):
            self._life.around.auditor.by_itself(
                "paired", self._account.record, source="phone", detail=self._account.record.phone
            )
            self._tell_changed_phone()
            self._late_phone.expect()
            self._timers.stop("pairing", "connect")
            self._life.later(
                "authenticated", self._life.config.pairing.authenticated_seconds, self._after_slow_restart
            )
            if self._account.attempt is not None:
                self._account.attempt.withdraw()

    def _tell_changed_phone(self) -> None:
        """A re-pair with another phone is never silent, even when the operator allowed it."""
        old, self._life.former_phone = self._life.former_phone, None
        new = self._account.record.phone
        if old is None or new is None or digits_of(old) == digits_of(new):
            return
        self._account.emit("session.phone_changed", {"old": international(old), "new": new})
        self._life.around.auditor.by_itself(
            "phone-changed", self._account.record, source="phone", detail=f"{international(old)} to {new}"
        )

    # Connection.

    def _take_connected(self, report: messages.Connected) -> None:
        self._life.arrived()
        if self._life.eviction is None and report.identity is not None:
            # Late news of the phone's number runs the claim again.
            self._life.eviction = (
                self._life.refusal(report.identity) if self._is_new(report.identity) else None
            )
        if self._life.eviction is not None:
            self._life.begin_eviction()
            self._life.after(self._log_out_the_evicted)
            return
        if report.identity is None and not self._account.record.is_linked:
            # The device was removed again in the same moment; nobody is connected.
            log.info("%s: dropped: connected as nobody", self._account.name)
            return
        if self._account.record.intent == "logout":
            # A logout whose end was unknown did not happen; one that is running has a newer generation soon.
            self._life.after(lambda: self._life.conclusions.draw(intent=None))
        was_connected = self._account.state is State.CONNECTED
        facts = self._account.identify(report.identity) if report.identity else {}
        now = self._life.around.clock.now()
        if not self._account.move(
            Trigger.CONNECTED,
            None,
            detail=None,
            is_linked=True,
            is_confirmed=True,
            pairing_started_at=None,
            last_connected_at=now,
            last_seen_at=now,
            **facts,
        ):
            return
        self._settle_connected()
        if not was_connected:
            self._account.emit("session.connected", {"phone": self._account.record.phone})
            self._life.groups.refresh()
        self._account.changed()

    def _is_new(self, identity: Identity) -> bool:
        return not self._account.record.is_linked or self._account.record.jid != identity.jid

    def _settle_connected(self) -> None:
        self._life.unfinished = None
        self._life.quick_deaths = 0
        self._timers.clear()
        self._late_phone.expect()
        self._timers.start("stable", self._life.config.reconnect.stable_seconds, self._life.backoff.reset)
        self._life.pulse.begin()
        if self._life.around.fleet.is_canary_at_risk(self._account.record.id):
            self._carrier.store.drop_snapshot()
        self._life.around.fleet.report_connected(self._account.record.id)
        self._life.around.roster.elect_primary(self._account.record.owner_uid)

    def _take_identity(self, report: messages.IdentityLearned) -> None:
        # A number that becomes known late runs the claim again.
        refusal = self._life.refusal(report.identity) if self._is_new(report.identity) else None
        if refusal is None:
            self._account.note(**self._account.identify(report.identity))
            return
        self._life.eviction = refusal
        self._account.note(**NO_DEVICE)
        self._account.move(Trigger.UNPAIR, refusal.reason)
        self._life.begin_eviction()
        self._life.after(self._log_out_the_evicted)

    def _take_disconnected(self, _report: messages.Disconnected) -> None:
        # While authenticated this is the restart that WhatsApp asked for; while pairing, PairingOver follows.
        if self._account.state is not State.CONNECTED:
            return
        self._life.pulse.end()
        self._timers.stop("stable")
        # The library's own retry is a login as well: while the fleet is held it gets no time for that.
        admitted = self._life.around.fleet.admits(self._account.record.id)
        patience = self._life.config.reconnect.library_seconds if admitted else 0.0
        self._timers.start("library", patience, lambda: self._carrier.kill("connection-lost"))
        self._account.reconnecting(
            "connection-lost",
            Retry(attempt=0, next_attempt_at=None),
            last_disconnected_at=self._life.around.clock.now(),
        )
        self._account.emit("session.disconnected", {"reason": "connection-lost"})

    # Refusals.

    def _take_logged_out(self, report: messages.LoggedOut) -> None:
        account_id = self._account.record.id
        if self._life.eviction is not None:
            self._life.after(lambda: self._life.end_eviction(None))
        elif self._account.record.intent is not None:
            # The logout that we asked for, confirmed the hard way.
            self._life.refused_generation = self._carrier.generation
            self._account.changed()
            self._life.after(self._settle_logout)
        elif self._life.around.fleet.is_canary_at_risk(account_id):
            self._life.after(self._after_canary_refused)
        elif report.code == 403:
            self._give_up_soon("locked", unlinked=True)
        elif report.code == 406:
            self._give_up_soon("banned", unlinked=True)
        elif not self._account.record.is_confirmed:
            self._life.after(self._after_incomplete)
        elif self._account.move(Trigger.LOGGED_OUT, "logged-out-by-phone", is_primary=False):
            self._note_unlink()
            # Whoever ends the worker first: what WhatsApp removed has to be wiped.
            self._life.after(self._after_logged_out, whatever_worker=True)

    def _note_unlink(self) -> None:
        self._timers.clear()
        self._life.pulse.end()
        self._account.emit("session.logged_out", {"reason": "logged-out-by-phone", "by": "phone"})
        self._life.around.auditor.by_itself("logged-out", self._account.record, source="phone")
        self._life.around.fleet.report_unlinked(self._account.record.id)

    def _take_banned(self, report: messages.Banned) -> None:
        if report.expires_in_seconds <= 0:
            self._give_up_soon("banned")
        else:
            self._life.after(lambda: self._wait_out_ban(float(report.expires_in_seconds)))

    def _give_up_soon(self, reason: str, *, unlinked: bool = False) -> None:
        self._life.after(lambda: self._give_up(reason, unlinked=unlinked))

    # Aftermaths.

    async def _after_death(self, death: Death) -> None:
        quick = death.lived_seconds < self._life.config.workers.crash_loop_seconds
        is_crash = quick and death.cause in _CRASHES
        self._life.quick_deaths = self._life.quick_deaths + 1 if is_crash else 0
        if death.cause != "codes-over":
            # The end of a round is no news of the worker.
            self._account.emit("worker.exited", {"cause": death.cause})
        was_running = self._account.state
        was_evicting = self._life.eviction is not None
        finding = await self._life.reconcile()
        if self._life.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self.after_device_gone()
        elif finding is Finding.NOTHING and was_evicting:
            await self._life.end_eviction(None)
        elif finding is Finding.NOTHING:
            self._next_round(death.cause)
        elif was_running in ATTEMPT_STATES or finding in (Finding.NEW_DEVICE, Finding.REFUSED_DEVICE):
            # The scan is recorded; log in at once, as the library would have.
            await self._life.go_on_pairing(finding, death.cause)
        elif was_running in LINKED_STATES:
            self._life.schedule_retry(death.cause)

    async def _go_on(self, finding: Finding, cause: str) -> None:
        """Go on with a pairing whose worker is gone: with what the phone has scanned, or with new codes."""
        if self._life.fail_if_unusable(finding):
            return
        if finding is Finding.NOTHING:
            self._next_round(cause)
        else:
            await self._life.go_on_pairing(finding, cause)

    async def after_device_gone(self) -> None:
        """The row vanished without our hearing of it: WhatsApp removed the device."""
        if self._life.around.fleet.is_canary_at_risk(self._account.record.id):
            await self._after_canary_refused()
        elif self._account.record.intent == "logout":
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-operator")
        elif not self._account.record.is_confirmed:
            await self._after_incomplete()
        elif self._account.state in LINKED_STATES:
            self._account.move(Trigger.LOGGED_OUT, "logged-out-by-phone", is_primary=False)
            self._note_unlink()
            await self._after_logged_out()
        else:
            await self._life.forget(Trigger.DEVICE_GONE, "logged-out-by-phone")

    async def _after_logged_out(self) -> None:
        """Recorded first, then wiped, then paired anew by itself; unless a command has done it."""
        if self._account.state is not State.LOGGED_OUT:
            return
        self._life.is_going_to_pair = self._repairs_by_itself
        await self._life.conclusions.settle()
        await self._life.forget(Trigger.WIPED, "logged-out-by-phone")
        self.repair_soon()

    def repair_soon(self) -> None:
        """Pair anew by itself, unless the configuration or the operator says otherwise."""
        if self._repairs_by_itself:
            self._life.is_going_to_pair = True
            self._life.later("repair", _REPAIR_SECONDS, self._repair)

    @property
    def _repairs_by_itself(self) -> bool:
        return self._life.config.pairing.automatic and self._account.record.desired == "running"

    async def _repair(self) -> None:
        fleet, account_id = self._life.around.fleet, self._account.record.id
        if fleet.admits(account_id):
            await self._life.begin_attempt()
        else:
            fleet.hold(account_id, lambda: self._life.after(self._repair_released), can_test=False)

    async def _repair_released(self) -> None:
        if self._life.is_going_to_pair:
            await self._life.begin_attempt()

    async def _after_incomplete(self) -> None:
        """The phone scanned, and WhatsApp did not know the device at the first login."""
        attempt = self._account.attempt or self._life.unfinished
        goes_on = attempt is not None and self._life.around.clock.now() < attempt.deadline_at
        self._life.is_going_to_pair = goes_on
        await self._life.forget(Trigger.ATTEMPT_OVER, "pairing-incomplete")
        if goes_on:
            await self._life.begin_attempt(attempt)

    async def _after_slow_restart(self) -> None:
        finding = await self._life.end_worker()
        if self._life.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self._after_incomplete()
        else:
            await self._life.go_on_pairing(finding, "timeout")

    async def _log_out_the_evicted(self) -> None:
        failure = None
        try:
            await self._carrier.ask(lambda order_id: messages.Logout(id=order_id), LOGOUT_SECONDS)
        except OrderFailedError as error:
            failure = str(error)
        await self._life.end_eviction(failure)

    async def _give_up(self, reason: str, *, unlinked: bool = False) -> None:
        """Stop the worker and wait for a human."""
        if unlinked:
            # The library deletes the device row a moment after it reports; the kill may come in between.
            self._life.around.auditor.by_itself(
                "logged-out", self._account.record, source="phone", detail=reason
            )
            phone = self._account.record.phone or self._account.record.expected_phone
            self._account.note(cause=reason, **NO_DEVICE)
            await self._life.conclusions.settle()
            await self._life.conclusions.draw(expected_phone=phone)
            await self._life.quiet()
            await self._life.wipe()
            self._life.around.roster.elect_primary(self._account.record.owner_uid)
        else:
            await self._life.end_worker()
        self._life.fail(reason)

    async def _end_worker(self) -> Finding:
        """End the worker; a removed device that its store then shows is dealt with, whatever else it said."""
        finding = await self._life.end_worker()
        if finding is Finding.DEVICE_GONE:
            await self.after_device_gone()
        return finding

    async def _after_outdated(self) -> None:
        """The client is outdated: for everybody; one account goes on trying, the others hold."""
        fleet = self._life.around.fleet
        if await self._end_worker() is Finding.DEVICE_GONE:
            return
        if not self._account.record.is_linked:
            self._life.fail("client-outdated")
        elif fleet.report_outdated(self._account.record.id):
            self._life.fail("client-outdated", is_canary=True)
            self._life.later("retry", fleet.next_try_seconds(), self._life.start)
            fleet.expect_canary(lambda: self._timers.hurry("retry"))
        else:
            await self._life.launch()

    async def _after_replaced(self) -> None:
        """Somebody else uses the device: take it back a few times, then wait for a human."""
        finding = await self._end_worker()
        if finding is Finding.DEVICE_GONE:
            return
        if self._account.state in ATTEMPT_STATES:
            await self._go_on(finding, "client-error")
            return
        if self._takeovers.begin():
            self._life.schedule_retry("stream-replaced")
        else:
            self._life.fail("stream-replaced")

    async def _after_canary_refused(self) -> None:
        """The canary was refused as well: put its device back and try again much later."""
        await self._life.quiet()
        await asyncio.to_thread(self._carrier.store.restore)
        delay = self._life.around.fleet.next_try_seconds()
        until = self._life.around.clock.now() + delay
        retry = Retry(attempt=self._life.backoff.failures, next_attempt_at=until)
        self._account.reconnecting("fleet-held", retry)
        self._life.later("retry", delay, self._life.launch)
        self._life.around.fleet.expect_canary(lambda: self._timers.hurry("retry"))

    async def _wait_out_ban(self, seconds: float) -> None:
        if await self._end_worker() is not Finding.DEVICE_GONE:
            self.wait_out_ban(seconds)

    def wait_out_ban(self, seconds: float) -> None:
        """Wait until a ban ends, then log in."""
        self._life.around.fleet.forget(self._account.record.id)
        until = self._life.around.clock.now() + seconds
        retry = Retry(attempt=self._life.backoff.failures, next_attempt_at=until)
        self._account.reconnecting(
            "banned-until", retry, detail=f"until {rfc3339(until)}", banned_until=until
        )
        self._life.later("retry", seconds, self._life.launch)

    async def _settle_logout(self) -> None:
        """A 401 under a logout of ours that had seemed to fail: it did happen."""
        if self._account.record.intent == "logout":
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-operator")

    def _next_round(self, cause: str) -> None:
        """The worker of a pairing is gone: ask WhatsApp for new codes, as long as the attempt lasts."""
        attempt = self._account.attempt
        if attempt is None:
            return
        had_line = attempt.number > 0
        attempt.next_round()
        if self._life.fail_if_crash_loop():
            return
        # The codes ran out, or the line dropped: at once. A worker that got nowhere: with patience.
        is_rotation = had_line and cause == "codes-over"
        if cause in REASONS and not is_rotation:
            self._account.move(Trigger.PAIR, cause)
        delay = 0.0 if is_rotation else self._life.backoff.next_delay_seconds()
        self._life.later("retry", delay, self._next_worker)

    async def _next_worker(self) -> None:
        await asyncio.to_thread(self._carrier.store.renew)
        await self._life.launch()

"""The steps that one account's commands and aftermaths share.

The one rule: every step runs under the lock, and none wipes a store that may hold a device unless an
operator, WhatsApp or a failed pairing has ended that device.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sqlite3
from collections.abc import Callable

from sessions.fence import read_fence
from sessions.messages import Hold, Identity, Reports
from sessions.states import LINKED_STATES, State, Trigger
from sessions.store import StoreKind, StoreLockedError
from towerd.accounts.records import AccountRecord
from towerd.config import Config
from towerd.proxy import ProxyUnreadableError, read_proxy
from towerd.reasons import HUMAN_CAUSES, REASONS, lasting, reason_while_pairing
from towerd.supervision.account_state import NO_DEVICE, AccountState, Retry
from towerd.supervision.aftermaths import Aftermaths
from towerd.supervision.backoff import Backoff
from towerd.supervision.carrier import Carrier, Death
from towerd.supervision.conclusions import Conclusions
from towerd.supervision.declared import reason_to_rest
from towerd.supervision.groups import Groups
from towerd.supervision.inbox import Inbox
from towerd.supervision.outbox import Outbox
from towerd.supervision.pairing import PairingAttempt
from towerd.supervision.reconcile import UNUSABLE, Finding, reconcile
from towerd.supervision.roster import Refusal
from towerd.supervision.surroundings import Surroundings
from towerd.supervision.tally import Tally
from towerd.supervision.truth import Pulse
from towerd.supervision.wellbeing import Wellbeing

log = logging.getLogger(__name__)


class Lifecycle(Aftermaths):
    """One account's state and worker, and the steps between states.

    Args:
        record: the account as the registry has it.
        around: the daemon's parts.
        on_report: takes the worker's reports at once.
        on_death: told when the worker ended by itself.

    Attributes:
        is_wiped: False when the disk did not let go of a store that was to be forgotten.
        eviction: why the device that is logging in may not stay; None in ordinary life.
        is_going_to_pair: unpaired for a moment only; a pairing begins by itself.
        former_phone: the number that was linked before an operator allowed another one.
        refused_generation: whose login WhatsApp refused, because the device was removed before our logout.
        unfinished: the attempt that led to a device which has not logged in yet; it goes on if that fails.
    """

    def __init__(
        self,
        record: AccountRecord,
        around: Surroundings,
        *,
        on_report: Callable[[Reports], None],
        on_death: Callable[[Death], None],
    ) -> None:
        self.around = around
        self.account = AccountState(record, ledger=around.ledger, clock=around.clock)
        self.carrier = Carrier(
            record.id,
            label=lambda: self.account.name,
            shelf=around.stores.shelf(self.account),
            device_name=lambda: self.config.pairing.device_name,
            spawner=around.spawner,
            on_report=on_report,
            on_death=on_death,
        )
        super().__init__(self.account, self.carrier, around.settings)
        self.backoff = Backoff(around.settings)
        self.pulse = Pulse(self.account, self.carrier, settings=around.settings)
        self.tally = Tally(self.account, around)
        self.inbox = Inbox(self.account, self.carrier, self.tally, around)
        self.outbox = Outbox(self.account, self.carrier, self.tally, around)
        self.groups = Groups(self.account, self.carrier, around)
        self.conclusions = Conclusions(self.account, around.ledger, lock=self.lock)
        self.eviction: Refusal | None = None
        self.is_wiped = True
        self.unfinished: PairingAttempt | None = None
        self.former_phone: str | None = None
        self.quick_deaths = 0
        self.refused_generation: int | None = None
        self.is_going_to_pair = False
        self.wellbeing = Wellbeing(self.account, self.pulse, self.backoff, self.tally)

    @property
    def config(self) -> Config:
        """The configuration that runs now."""
        return self.around.config

    async def close(self, *, grace_seconds: float) -> None:
        """End the worker because the daemon ends; nothing is decided by it."""
        self.is_closing = True
        self.timers.clear()
        self.pulse.end()
        await self.carrier.end(grace_seconds=grace_seconds)
        self.inbox.close()
        self.outbox.close()
        self.groups.close()
        self.conclusions.close()
        self.give_up()

    # Workers.

    async def launch(self) -> None:
        """Start a worker as soon as the fleet and the gate let it."""
        account_id = self.account.record.id
        if not self.around.fleet.admits(account_id):
            self._hold()
        elif self.around.gate.enter(account_id, lambda: self.after(self._launch_now)):
            await self._launch_now()
        elif self.account.state in LINKED_STATES and self.account.state is not State.CONNECTED:
            self.account.note(reason="start-queued")

    async def launch_at_once(self) -> None:
        """Start a worker past gate and fleet: for a logout, which has a deadline and ends by itself."""
        await self._launch_worker()
        if not self.may_go_on:
            self.heed_fleet()

    def heed_fleet(self) -> None:
        """Tell the worker whether the library may take up again a line that it loses."""
        self.carrier.tell(Hold(on=not self.around.fleet.admits(self.account.record.id)))

    @property
    def is_fenced(self) -> bool:
        """True while somebody else holds the device: it went elsewhere with an export."""
        return read_fence(self.carrier.store.home) is not None

    @property
    def may_go_on(self) -> bool:
        """False while a login is under way that the fleet does not admit; one that is over may stay."""
        is_logging_in = self.account.state in (State.CONNECTING, State.RECONNECTING)
        return self.around.fleet.admits(self.account.record.id) or not is_logging_in

    async def _launch_now(self) -> None:
        """Start a worker, and see that it gets somewhere in time."""
        if not self.around.fleet.admits(self.account.record.id):
            # The breaker opened while this start waited for its turn.
            self.around.gate.leave(self.account.record.id)
            self._hold()
            return
        self.account.trying()
        if self.around.fleet.is_canary_at_risk(self.account.record.id):
            try:
                await asyncio.to_thread(self.carrier.store.snapshot)
            except (OSError, sqlite3.Error, StoreLockedError) as error:
                self._launch_later(error)
                return
        await self._launch_worker()

    async def _launch_worker(self) -> None:
        if self.is_fenced:
            # Whatever led here: of one device there are never two holders.
            self.rest()
            return
        try:
            proxy = await read_proxy(self.account.record.proxy_file)
        except ProxyUnreadableError as error:
            log.error("%s does not start without its proxy: %s", self.account.name, error)
            self._fail_for_now("proxy-unreadable")
            return
        if self.is_closing:
            return
        try:
            await self.carrier.launch(proxy=proxy)
        except OSError as error:
            self._launch_later(error)
            return
        seconds = self.config.workers.connect_seconds
        self.timers.start("connect", seconds, lambda: self.carrier.kill("timeout"))

    def _launch_later(self, error: Exception) -> None:
        log.error("%s: no worker could be started: %s", self.account.name, error)
        self.around.gate.leave(self.account.record.id)
        self.later("retry", self.backoff.next_delay_seconds(), self.launch)

    def _hold(self) -> None:
        """Wait until the fleet goes on; a linked account says so in its state, a pairing in its reason."""
        if self.account.state in LINKED_STATES:
            self.account.move(Trigger.DISCONNECTED, "fleet-held")
        elif self.account.state is State.PAIRING:
            self.account.move(Trigger.PAIR, "fleet-held")
        is_linked = self.account.record.is_linked
        self.around.fleet.hold(
            self.account.record.id, lambda: self.after(self._go_on_released), can_test=is_linked
        )

    async def _go_on_released(self) -> None:
        """Go on after the fleet was held, unless an operator has decided otherwise meanwhile."""
        is_waiting = self.eviction is not None or self.account.record.reason == "fleet-held"
        if is_waiting and not self.carrier.is_running:
            await self.launch()

    def arrived(self) -> None:
        """The worker got somewhere: its place at the gate is free."""
        self.timers.stop("connect")
        self.around.gate.leave(self.account.record.id)

    async def end_worker(self, *, grace_seconds: float = 0.0) -> Finding:
        """End the worker and let the store say what is linked now."""
        await self.quiet(grace_seconds=grace_seconds)
        return await self.reconcile()

    async def quiet(self, *, grace_seconds: float = 0.0) -> None:
        """End the worker and everything that waits for it."""
        self.pulse.end()
        self.arrived()
        await self.carrier.end(grace_seconds=grace_seconds)

    # What the store says.

    async def reconcile(self) -> Finding:
        """Let the store say what is linked; no worker may be running."""
        await self.inbox.take_spool()
        report, record = await self.carrier.look(), self.account.record
        finding = reconcile(record, report)
        is_ending = record.intent == "logout" or not record.is_confirmed
        if finding is Finding.DAMAGED and report.kind is StoreKind.MISSING and is_ending:
            # Wiped by ourselves, and the daemon was killed before that was written down.
            return Finding.DEVICE_GONE
        if finding is Finding.NEW_DEVICE and self.account.record.intent == "unpair":
            # What an operator wanted forgotten and the disk would not let go.
            return Finding.NOTHING
        if finding is Finding.NEW_DEVICE and report.identity is not None:
            self.eviction = self.refusal(report.identity)
            if self.eviction is not None:
                return Finding.REFUSED_DEVICE
            self.account.note(is_linked=True, is_confirmed=False, **self.account.identify(report.identity))
        elif finding in UNUSABLE:
            log.error("%s: %s: %s", self.account.name, finding.value, report.detail)
        return finding

    def refusal(self, identity: Identity) -> Refusal | None:
        """Return why this account may not keep a device, None when it may."""
        return self.around.roster.refusal(self.account, identity)

    def fail_if_unusable(self, finding: Finding) -> bool:
        """Fail the account when its store cannot be used; nothing is wiped by that."""
        if finding not in UNUSABLE:
            return False
        self.fail(finding.value)
        if finding is Finding.UNUSABLE and self.account.record.desired == "running":
            self.later("retry", self.config.reconnect.slow_seconds, self.start)
        return True

    # Beginnings.

    async def start(self) -> None:
        """Start a session on the device that the store holds, if it holds one."""
        self.timers.clear()
        if self.is_fenced:
            self.rest()
            return
        finding = await self.reconcile()
        if self.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self.forget(Trigger.DEVICE_GONE, "logged-out-by-phone")
        elif finding is Finding.REFUSED_DEVICE:
            self.account.move(Trigger.START_UNLINKED, None)
            await self.evict()
        elif self.account.record.is_linked:
            self.backoff.reset()
            self.account.move(Trigger.START_LINKED, None)
            await self.launch()
        elif self.account.record.cause in HUMAN_CAUSES:
            # WhatsApp locked or banned the number; starting does not change that.
            self.account.move(Trigger.FAILURE, self.account.record.cause)
        else:
            self.account.move(Trigger.START_UNLINKED, self.unpaired_reason("never-paired"))

    async def begin_attempt(self, former: PairingAttempt | None = None, *, phone: str | None = None) -> None:
        """Begin a pairing attempt in a fresh directory, or go on with one whose deadline is not over."""
        now = self.around.clock.now()
        started_at = former.started_at if former else now
        attempt = PairingAttempt(
            started_at=started_at,
            deadline_at=started_at + self.config.pairing.timeout_seconds,
            phone=former.phone if former else phone,
        )
        self.timers.clear()
        self.quick_deaths = 0
        self.backoff.reset()
        self.eviction = self.unfinished = None
        self.account.move(
            Trigger.PAIR,
            reason_while_pairing(self.account.record.cause),
            pairing_started_at=started_at,
            pairing_phone=attempt.phone,
        )
        self.account.attempt = attempt
        self.is_going_to_pair = False
        try:
            await asyncio.to_thread(self.carrier.store.renew)
        except OSError:
            self.account.move(Trigger.ATTEMPT_OVER, self.unpaired_reason("pairing-interrupted"))
            raise
        # Whatever worker shows its codes by then.
        over = functools.partial(self._after_pairing_deadline, attempt)
        self.later("pairing", attempt.deadline_at - now, over, whatever_worker=True)
        await self.launch()

    async def _after_pairing_deadline(self, attempt: PairingAttempt) -> None:
        if self.account.attempt is not attempt:
            return
        finding = await self.end_worker()
        if self.fail_if_unusable(finding):
            return
        if finding is Finding.REFUSED_DEVICE or self.account.record.is_linked:
            # Scanned in the last moment.
            await self.go_on_pairing(finding, None)
        else:
            reason = "pairing-timeout" if attempt.has_offered else "pairing-interrupted"
            await self.forget(Trigger.ATTEMPT_OVER, reason)
            self.account.emit("session.timeout", {})

    async def go_on_pairing(self, finding: Finding, cause: str | None) -> None:
        """Log in with what a scan has left in the store, whoever died over it."""
        if finding is Finding.REFUSED_DEVICE:
            await self.evict()
            return
        self.unfinished = self.account.attempt or self.unfinished
        self.close_attempt()
        self.timers.clear()
        is_resting = self.account.state in (State.STOPPED, State.FAILED)
        self.account.move(Trigger.START_LINKED if is_resting else Trigger.DEVICE_FOUND, cause)
        await self.launch()

    # The device that may not stay.

    async def evict(self) -> None:
        """Let the device log in once more, so that it can be logged out at WhatsApp."""
        if self.eviction is None:
            return
        self.begin_eviction()
        if not self.carrier.is_running:
            await self.launch()

    def begin_eviction(self) -> None:
        """Show that the scan worked and what is wrong with it."""
        refusal = self.eviction
        if refusal is None:
            return
        if self.account.state is State.AUTHENTICATED:
            self.account.note(reason=refusal.reason, detail=refusal.detail)
        else:
            if self.account.state is not State.PAIRING:
                self.account.move(Trigger.PAIR, refusal.reason)
            self.account.move(Trigger.SCANNED, refusal.reason, detail=refusal.detail)
        self.close_attempt()
        self.timers.stop("pairing")
        if not self.timers.is_running("authenticated"):
            seconds = self.config.pairing.authenticated_seconds
            self.later("authenticated", seconds, lambda: self.end_eviction("no connection to WhatsApp"))

    async def end_eviction(self, failure: str | None) -> None:
        """Scrub what is left of a device that may not stay.

        Args:
            failure: why the logout at WhatsApp did not work; None when it did.
        """
        refusal, self.eviction = self.eviction, None
        if refusal is None:
            return
        detail = refusal.detail
        if failure is not None:
            name = self.config.pairing.device_name
            detail += f"; the logout failed ({failure}): remove the newest linked device {name} on the phone"
        existing = refusal.existing
        data = {"existing": existing.name} if existing is not None else {}
        event = "session.duplicate" if refusal.reason == "duplicate-phone" else "session.wrong_phone"
        outcome = "failed" if failure else "done"
        self.account.emit(event, data | {"phone": refusal.phone, "logout": outcome})
        self.around.auditor.by_itself(
            refusal.reason,
            self.account.record,
            result="logout-failed" if failure else "logged-out",
            detail=detail,
        )
        await self.forget(Trigger.ATTEMPT_OVER, refusal.reason, detail=detail)

    # Endings.

    def schedule_retry(self, cause: str) -> None:
        """Try again by the schedule after a worker ended that carried a linked device."""
        if self.fail_if_crash_loop():
            return
        delay = self.backoff.next_delay_seconds()
        known = cause if cause in REASONS else "client-error"
        if self.account.state is State.CONNECTED:
            self.account.emit("session.disconnected", {"reason": known})
        retry = Retry(attempt=self.backoff.failures, next_attempt_at=self.around.clock.now() + delay)
        if self.account.reconnecting(known, retry):
            self.later("retry", delay, self.launch)

    def fail_if_crash_loop(self) -> bool:
        """Fail the account when its workers die one after the other; go on slowly."""
        if self.quick_deaths < self.config.workers.crash_loop_exits:
            return False
        self.quick_deaths = 0
        self._fail_for_now("worker-crash-loop")
        return True

    def _fail_for_now(self, reason: str) -> None:
        """Fail, and try again now and then what was being done."""
        attempt = self.account.attempt
        self.fail(reason)
        again = self.start if attempt is None else functools.partial(self.begin_attempt, phone=attempt.phone)
        self.later("retry", self.config.reconnect.slow_seconds, again)

    async def forget(self, trigger: Trigger, reason: str, *, detail: str | None = None) -> None:
        """Wipe the store and forget the device; what pairs next is expected to be the same phone."""
        self.timers.clear()
        if trigger is Trigger.UNPAIR:
            self.is_going_to_pair = False
        await self.quiet()
        self.around.fleet.forget(self.account.record.id)
        is_wiped = await self.wipe()
        self.close_attempt()
        self.eviction = self.unfinished = None
        record = self.account.record
        if record.is_linked or trigger is Trigger.ATTEMPT_OVER:
            self.around.auditor.by_itself("wiped" if record.is_linked else "scrubbed", record, detail=reason)
        shown = self.unpaired_reason(reason)
        kept = detail if shown == reason else record.detail
        self.account.move(trigger, shown, **NO_DEVICE | {"detail": kept})
        self.around.roster.elect_primary(record.owner_uid)
        await self.conclusions.settle()
        await self.outbox.fail_all("unlinked")
        # What could not be wiped is wiped at the next start, as long as the intent stands.
        intent = None if is_wiped else record.intent
        phone = record.phone if record.is_confirmed else None
        await self.conclusions.draw(intent=intent, expected_phone=phone or record.expected_phone)

    async def wipe(self) -> bool:
        """Empty the store's directory; return False when the disk does not let us."""
        await self.inbox.take_spool()
        try:
            await asyncio.to_thread(self.carrier.store.renew)
        except OSError as error:
            log.error("%s: its store could not be wiped: %s", self.account.name, error)
            self.is_wiped = False
        else:
            self.is_wiped = True
        return self.is_wiped

    def rest(self) -> None:
        """Go to `stopped` when that is what the operator wants, or the device is elsewhere."""
        self.is_going_to_pair = False
        record, is_fenced = self.account.record, self.is_fenced
        reason = "exported" if is_fenced else reason_to_rest(record)
        should_rest = is_fenced or record.desired == "stopped"
        if should_rest and (record.state, record.reason) != (State.STOPPED, reason):
            self.around.fleet.forget(record.id)
            self.around.gate.leave(record.id)
            self.account.move(Trigger.STOP, reason)

    def fail(self, reason: str, *, is_canary: bool = False) -> None:
        """Wait for a human; the canary of an outdated fleet goes on trying all the same."""
        if not is_canary:
            self.around.fleet.forget(self.account.record.id)
        self.timers.clear()
        self.pulse.end()
        self.arrived()
        self.close_attempt()
        self.is_going_to_pair = False
        self.eviction = self.unfinished = None
        self.account.move(Trigger.FAILURE, reason)

    def close_attempt(self) -> None:
        """End the pairing attempt, and with it the QR on offer."""
        self.account.attempt = None
        if self.account.record.pairing_started_at is not None:
            self.account.note(pairing_started_at=None, pairing_phone=None)

    def unpaired_reason(self, reason: str) -> str:
        """Return the reason to show: a lasting cause is not overwritten by a weaker one."""
        return lasting(self.account.record.cause, reason)

"""One account's keeper: carries out what operators ask.

The one rule: a command first records what was asked for, durably, then acts; one account's commands run
one at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from sessions.states import ATTEMPT_STATES, LINKED_STATES, State, Trigger
from sessions.store import StoreKind
from towerd.accounts.records import AccountRecord, OutgoingRecord
from towerd.protocol.errors import ACCOUNT, TowerError
from towerd.reasons import action_for, action_while_pairing
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.declared import columns_to_run, file_of
from towerd.supervision.health import Condition
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.logout import Logout, LogoutReport
from towerd.supervision.moving import ELSEWHERE, Moving
from towerd.supervision.names import international
from towerd.supervision.pairing import CodeOffer, PairingAttempt, require_unlinked
from towerd.supervision.reconcile import Finding
from towerd.supervision.removal import Removal
from towerd.supervision.reports import ReportReader
from towerd.supervision.surroundings import Surroundings
from towerd.supervision.tally import Tally
from towerd.supervision.uninterrupted import uninterrupted

CODE_PATIENCE_SECONDS = 45.0
"""How long a caller waits for a pairing code: a worker's start, the line, and WhatsApp's answer."""
_GOODBYE_SECONDS = 3.0
# A restart of the daemon does not settle this: logging in again would throw the other program out.
_KEPT_FAILURES = frozenset({"stream-replaced"})


class Keeper:
    """Keeps one account.

    Args:
        record: the account as the registry has it.
        around: the daemon's parts.

    Attributes:
        account: what is true of the account.
        carrier: the worker that carries the session.
        moving: takes the account elsewhere, and back.
        is_settled: what the last run of the daemon left is settled; before that nothing can be said for sure.
    """

    def __init__(self, record: AccountRecord, around: Surroundings) -> None:
        self._life = Lifecycle(
            record,
            around,
            on_report=lambda report: self._reports.take(report),
            on_death=lambda death: self._reports.take_death(death),
        )
        self._reports = ReportReader(self._life)
        self.account: AccountState = self._life.account
        around.roster.join(self.account)
        self.carrier: Carrier = self._life.carrier
        self._logout = Logout(self._life)
        self._removal = Removal(self._life, self._logout, turn=self._turn)
        self.moving = Moving(self._life, turn=self._turn, stop=self._stop)
        self._timers = self._life.timers
        self._is_taken_up = False
        self.is_settled = False

    @contextlib.asynccontextmanager
    async def _turn(self, *, is_here: bool = False) -> AsyncIterator[None]:
        """Wait for the account's turn, and take it up first if the start of the daemon has not yet.

        Args:
            is_here: only if its device did not go elsewhere.

        Raises:
            TowerError: `account-not-found`, it was removed meanwhile; `wrong-state`.
        """
        async with self._life.lock:
            if self.account.is_removed:
                raise TowerError("account-not-found", f"account {self.account.name} was removed")
            await self._take_up()
            if is_here:
                self.moving.require_here()
            yield

    async def _take_up(self) -> None:
        if self._is_taken_up:
            return
        self._is_taken_up = True
        try:
            await self._settle_leftovers()
            self.is_settled = True
            # Who waits may have been told nothing so far.
            self.account.changed()
        except (OSError, TowerError):
            # A disk that cannot be used now may be usable in a while.
            self._is_taken_up = False
            self._life.later("retry", self._life.config.reconnect.cap_seconds, self._take_up)
            raise

    async def resume(self) -> None:
        """Settle what the last run of the daemon left, and start what should run, unless that is done."""
        async with self._turn():
            pass

    def take_up(self) -> None:
        """Say that there are no leftovers: the account is new."""
        self._is_taken_up = self.is_settled = True

    async def _settle_leftovers(self) -> None:
        if self.account.record.intent == "remove":
            return
        await self._life.outbox.load()
        finding = await self._life.reconcile()
        if self.account.record.intent == "unpair" or self.account.state is State.LOGGED_OUT:
            await self._finish_forgetting()
        elif await self.moving.settle():
            self._life.rest()
        elif self._life.fail_if_unusable(finding):
            return
        elif self.account.record.desired == "stopped":
            self._life.rest()
            self._life.after(self._logout.finish)
        elif self._life.eviction is not None:
            self.account.restore(State.AUTHENTICATED, self._life.eviction.reason)
            await self._life.evict()
        elif finding is Finding.DEVICE_GONE:
            await self._reports.after_device_gone()
        elif self.account.record.is_linked:
            await self._resume_session()
        else:
            await self._resume_pairing()

    @uninterrupted
    async def pair(self, *, phone: str | None = None, new_phone: bool = False) -> CodeOffer | None:
        """Begin a new pairing attempt; an earlier one is torn down first.

        Args:
            phone: digits of the number to pair by code; None pairs by QR. While a code for the same number is
                on offer, it is handed out again and nothing is torn down.
            new_phone: another phone than before may scan.

        Returns:
            The pairing code, when one was asked for.

        Raises:
            TowerError: `wrong-state` while a device is linked; `pairing-timeout` when WhatsApp gave no code;
                `registry-unavailable`.
        """
        async with self._turn(is_here=True):
            require_unlinked(self.account.record)
            await self._require_forgotten()
            forget_phone = {"expected_phone": None} if new_phone else {}
            if new_phone:
                self._life.former_phone = self.account.record.expected_phone
            running = columns_to_run(self.account.record)
            await self.account.intend(always=True, intent=None, **running, **forget_phone)
            attempt = self.account.attempt
            if phone is None or attempt is None or attempt.phone != phone:
                await self._begin_pairing(phone)
            await self._life.around.ledger.settle()
        return await self._await_code() if phone is not None else None

    async def _begin_pairing(self, phone: str | None) -> None:
        finding = await self._life.end_worker()
        if self.account.record.is_linked or finding is Finding.REFUSED_DEVICE:
            # The phone scanned the code of the attempt that was just torn down.
            await self._life.go_on_pairing(finding, None)
        else:
            await self._life.begin_attempt(phone=phone)

    async def _await_code(self) -> CodeOffer:
        clock = self._life.around.clock

        def offer() -> CodeOffer | None:
            attempt = self.account.attempt
            return attempt.current_code(clock.monotonic()) if attempt is not None else None

        await self.account.until(
            lambda: offer() is not None or self.account.state is not State.PAIRING, CODE_PATIENCE_SECONDS
        )
        current = offer()
        if current is None:
            raise TowerError(
                "pairing-timeout",
                f"no pairing code for {self.account.name} yet: it is {self.account.state.value}",
                hint=self.action(ACCOUNT) or f"pair by QR instead: towerctl pair {ACCOUNT}",
            )
        return current

    @uninterrupted
    async def start(self) -> None:
        """Let the account run; nothing changes when it does.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._turn(is_here=True):
            await self.account.intend(**columns_to_run(self.account.record))
            await self._start()

    async def _start(self) -> None:
        if self.account.state in (State.STOPPED, State.FAILED):
            await self._life.start()
            await self._life.around.ledger.settle()

    @uninterrupted
    async def stop(self) -> None:
        """Take the account offline; its device stays linked.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._turn():
            await self.account.intend(desired="stopped")
            await self._stop()

    async def _stop(self) -> None:
        if self.account.state is not State.STOPPED:
            self._timers.clear()
            await self._life.end_worker(grace_seconds=_GOODBYE_SECONDS)
            self._life.eviction = None
            self._life.close_attempt()
        self._life.rest()
        await self._life.around.ledger.settle()

    @uninterrupted
    async def restart(self) -> None:
        """End the session and start it anew.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._turn(is_here=True):
            await self.account.intend(always=True, **columns_to_run(self.account.record))
            await self._restart()

    async def _restart(self) -> None:
        self._timers.clear()
        finding = await self._life.end_worker(grace_seconds=_GOODBYE_SECONDS)
        self._life.backoff.reset()
        await self._begin_anew(finding)
        await self._life.around.ledger.settle()

    async def _begin_anew(self, finding: Finding) -> None:
        """Go on with what the state was about, with a new worker."""
        state, is_linked = self.account.state, self.account.record.is_linked
        if state is State.LOGGED_OUT:
            await self._finish_forgetting()
        elif self._life.fail_if_unusable(finding):
            return
        elif state in ATTEMPT_STATES and not is_linked and finding is not Finding.REFUSED_DEVICE:
            await self._life.begin_attempt(phone=self.account.record.pairing_phone)
        elif state in ATTEMPT_STATES or finding is Finding.REFUSED_DEVICE:
            await self._life.go_on_pairing(finding, None)
        elif is_linked or state in (State.STOPPED, State.FAILED):
            await self._life.start()

    @uninterrupted
    async def unpair(self) -> None:
        """Forget the linked device here; WhatsApp is not told.

        Raises:
            TowerError: `registry-unavailable`; nothing was changed.
        """
        async with self._turn():
            is_idle = not self.carrier.is_running and self._life.is_wiped
            if self.account.state is State.UNPAIRED and is_idle:
                # A pairing that was about to begin by itself does not.
                self._timers.clear()
                self._life.is_going_to_pair = False
                self._life.around.fleet.forget(self.account.record.id)
                return
            await self.account.intend(intent="unpair")
            self._timers.clear()
            await self._life.quiet()
            await self._finish_forgetting()
            await self._life.around.ledger.settle()

    @uninterrupted
    async def logout(self) -> LogoutReport:
        """Log the device out at WhatsApp and keep the account.

        Raises:
            TowerError: `logout-failed`, nothing was wiped; `registry-unavailable`.
        """
        async with self._turn(is_here=True):
            if self.account.state is State.LOGGED_OUT:
                await self._finish_forgetting()
            if not self.account.record.is_linked:
                return LogoutReport(outcome="not-linked")
            await self.account.intend(intent="logout")
            report = await self._logout.carry_out()
            await self._life.around.ledger.settle()
        if report.outcome == "failed":
            raise TowerError(
                "logout-failed",
                f"WhatsApp did not log {self.account.name} out: {report.detail}",
                hint="nothing was wiped; try again, or remove the linked device on the phone "
                f"and run: towerctl unpair {ACCOUNT} --yes",
            )
        return report

    @uninterrupted
    async def remove(self, *, require_logout: bool) -> LogoutReport:
        """Log out at WhatsApp as far as it can be done, then delete everything.

        Raises:
            TowerError: `logout-failed` when a logout is required, nothing was deleted;
                `registry-unavailable`.
        """
        return await self._removal.run(require_logout=require_logout)

    @uninterrupted
    async def declare(self, noted: Callable[[], None], **columns: Any) -> None:
        """Take over what a drop-in file says, or that it is gone.

        Args:
            noted: called once it is written, before anything is done about it.
            columns: intent columns; `desired` among them starts or stops the account.

        Raises:
            NameTakenError: the name is taken.
            TowerError: `account-not-found`, `registry-unavailable`.
        """
        async with self._life.lock:
            if self.account.is_removed:
                raise TowerError("account-not-found", f"account {self.account.name} was removed")
            await self.account.intend(**columns)
            noted()
            if not self._is_taken_up:
                # The start of the daemon is going to go by what was just written.
                return
            if self.account.record.desired == "stopped":
                await self._stop()
            elif "desired" in columns:
                await self._start()
            elif "proxy_file" in columns and self.carrier.is_running:
                await self._restart()

    @uninterrupted
    async def set(self, **columns: Any) -> None:
        """Change names.

        Raises:
            NameTakenError: the name is taken.
            TowerError: `registry-unavailable`.
        """
        async with self._turn():
            await self.account.intend(**columns)

    def heed_fleet(self) -> None:
        """The breaker opened or closed: a worker that is logged in may stay, none logs in but the canary."""
        self._life.heed_fleet()
        if not self._life.may_go_on:
            self.carrier.kill("connection-lost")

    async def send(self, *, target: str, text: str, key: str | None, wait_seconds: float) -> OutgoingRecord:
        """Have a text sent; it is stored when this returns.

        Args:
            target: a JID, or the digits of a phone number.
            text: what to say.
            key: the caller's own name for it; known already, nothing more is sent.
            wait_seconds: how long to wait for WhatsApp's acknowledgement.

        Raises:
            TowerError: `not-connected`, `limit-reached`, `queue-full`, `invalid-field`,
                `registry-unavailable`.
        """
        record = await self._accept(target=target, text=text, key=key)
        return await self._life.outbox.settled(record, wait_seconds) if wait_seconds > 0 else record

    @uninterrupted
    async def _accept(self, *, target: str, text: str, key: str | None) -> OutgoingRecord:
        async with self._turn():
            return await self._life.outbox.accept(target=target, text=text, key=key)

    async def close(self) -> None:
        """End the worker because the daemon ends; nothing is decided by it."""
        await self._life.close(grace_seconds=_GOODBYE_SECONDS)

    async def _finish_forgetting(self) -> None:
        """Finish an unpair or a wipe that was recorded."""
        if self.account.record.intent == "unpair" and self.account.record.reason == "exported":
            # The phone lists it rightly: nobody is to be told to remove it there.
            await self._life.forget(Trigger.UNPAIR, "never-paired", detail=ELSEWHERE)
        elif self.account.record.intent == "unpair":
            had_device = self.account.record.is_linked
            if not had_device:
                # A scan that nobody heard of: the phone lists the device all the same.
                had_device = (await self.carrier.look()).kind is StoreKind.DEVICE
            cause = self.account.record.cause or "never-paired"
            await self._life.forget(Trigger.UNPAIR, "unpaired-by-operator" if had_device else cause)
        else:
            await self._life.forget(Trigger.WIPED, "logged-out-by-phone")
            self._reports.repair_soon()

    async def _resume_session(self) -> None:
        """Log in again, unless that has to wait for a time or for a human."""
        record, now = self.account.record, self._life.around.clock.now()
        if record.state is State.FAILED and record.reason in _KEPT_FAILURES:
            return
        self.account.restore(State.CONNECTING, "start-queued")
        if record.banned_until is not None and now < record.banned_until:
            self._reports.wait_out_ban(record.banned_until - now)
        else:
            await self._life.launch()

    async def _resume_pairing(self) -> None:
        """Settle a pairing that the last run left: go on inside its deadline, else give it up."""
        started_at = self.account.record.pairing_started_at
        if self.account.state is State.FAILED:
            return
        if started_at is None or self.account.state not in ATTEMPT_STATES:
            self.account.restore(State.UNPAIRED, self._life.unpaired_reason("never-paired"))
            return
        former = self._former_attempt(started_at)
        if started_at <= self._life.around.clock.now() < former.deadline_at:
            await self._life.begin_attempt(former)
            return
        await self._life.wipe()
        self._life.around.auditor.by_itself("scrubbed", self.account.record, detail="pairing-interrupted")
        self.account.restore(State.UNPAIRED, self._life.unpaired_reason("pairing-interrupted"))
        self._life.close_attempt()

    async def _require_forgotten(self) -> None:
        """Finish a wipe that the disk did not allow; nothing pairs over what was to be forgotten."""
        if self.account.record.intent == "unpair":
            await self._finish_forgetting()
        if self.account.record.intent == "unpair":
            raise TowerError(
                "registry-unavailable",
                f"the former device of {self.account.name} cannot be wiped from the disk",
                hint="look at the disk and the permissions of the state directory, then try again",
            )

    @property
    def is_about_to_pair(self) -> bool:
        """True when a pairing is going to begin by itself in a moment."""
        return self.account.state is State.LOGGED_OUT or self._life.is_going_to_pair

    def make_primary(self) -> None:
        """Make this the primary account of its owner.

        Raises:
            TowerError: `wrong-state`, no device is linked.
        """
        self._life.around.roster.set_primary(self.account)

    @property
    def tally(self) -> Tally:
        """What was sent and received today."""
        return self._life.tally

    @property
    def waiting(self) -> int:
        """How many texts wait to be sent."""
        return self._life.outbox.waiting

    @property
    def condition(self) -> Condition:
        """What the account's health is made of."""
        return self._life.wellbeing.condition

    def announce(self) -> None:
        """Say that the account waits for its turn at the start; whatever was true before is not yet again."""
        record = self.account.record
        was_up = record.state in LINKED_STATES or record.state is State.AUTHENTICATED
        if record.desired == "running" and record.is_linked and was_up:
            self.account.restore(State.CONNECTING, "start-queued")
        elif record.state is State.PAIRING and record.pairing_started_at is not None:
            self.account.attempt = self._former_attempt(record.pairing_started_at)

    def _former_attempt(self, started_at: float) -> PairingAttempt:
        deadline_at = started_at + self._life.config.pairing.timeout_seconds
        return PairingAttempt(
            started_at=started_at, deadline_at=deadline_at, phone=self.account.record.pairing_phone
        )

    def action(self, name: str) -> str | None:
        """Return what a human can do about the present state, who names the account like this."""
        record = self.account.record
        if record.state is State.PAIRING:
            phone = international(record.pairing_phone)
            return action_while_pairing(record.reason, name, phone=phone)
        action = action_for(record.reason, name, file=file_of(record))
        return f"{record.detail}; {action}" if action and record.detail else action

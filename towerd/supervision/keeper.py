"""One account's keeper: carries out what operators ask, and makes of the worker's reports what is true.

The one rule: commands and aftermaths run one at a time under the keeper's lock; reports are taken at once and
only move the state. Whatever has to wait (a kill, a wipe, a new start) is an aftermath.
"""

from __future__ import annotations

import asyncio
import logging
import pwd
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions import messages
from sessions.messages import Reports
from sessions.states import ATTEMPT_STATES, LINKED_STATES, State, Trigger
from sessions.store import StoreReport
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord
from towerd.clock import Clock, rfc3339
from towerd.config import Config
from towerd.protocol.errors import TowerError
from towerd.protocol.types import LogoutOutcome
from towerd.reasons import REASONS, action_for, lasting, reason_while_pairing
from towerd.supervision.account_state import AccountState, Retry
from towerd.supervision.backoff import Backoff
from towerd.supervision.carrier import Carrier, Death
from towerd.supervision.pairing import CODES_PER_ROUND, PairingAttempt
from towerd.supervision.process import OrderFailedError
from towerd.supervision.reconcile import Finding, reconcile
from towerd.supervision.spawn import Spawner
from towerd.supervision.timers import Timers

log = logging.getLogger(__name__)

LOGOUT_SECONDS = 15.0
"""What WhatsApp is given to confirm a logout, start and connect included (design: logout and remove)."""
_GOODBYE_SECONDS = 3.0
_REPAIR_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every keeper needs of the daemon."""

    config: Config
    clock: Clock
    ledger: Ledger
    spawner: Spawner
    sessions_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutReport:
    """How a logout at WhatsApp went: done, failed, unknown or not-linked, and the library's words."""

    outcome: LogoutOutcome
    detail: str | None = None


class Keeper:
    """Keeps one account.

    Args:
        record: the account as the registry has it.
        around: the daemon's parts.
    """

    def __init__(self, record: AccountRecord, around: Surroundings) -> None:
        self._around = around
        self._config = around.config
        self.account = AccountState(record, ledger=around.ledger, clock=around.clock)
        self.carrier = Carrier(
            record.id,
            label=lambda: self.account.name,
            sessions_dir=around.sessions_dir,
            device_name=self._config.pairing.device_name,
            spawner=around.spawner,
            on_report=self._take,
            on_death=self._on_death,
        )
        self._backoff = Backoff(self._config.reconnect)
        self._timers = Timers()
        self._lock = asyncio.Lock()
        self._aftermaths: set[asyncio.Task[None]] = set()
        self._quick_deaths = 0
        self._is_closing = False
        self._takers: dict[type[Any], Callable[[Any], None]] = {
            messages.QrShown: self._take_qr,
            messages.PairingOver: self._take_pairing_over,
            messages.Scanned: self._take_scanned,
            messages.Connected: self._take_connected,
            messages.IdentityLearned: self._take_identity,
            messages.Disconnected: self._take_disconnected,
            messages.LoggedOut: self._take_logged_out,
            messages.Banned: self._take_banned,
            messages.Outdated: lambda report: self._after(self._give_up("client-outdated")),
            messages.Replaced: lambda report: self._after(self._give_up("stream-replaced")),
            messages.ConnectFailed: lambda report: self._after(
                self._give_up(f"connect-failure-{report.code}")
            ),
            messages.StoreLocked: lambda report: self._after(self._give_up("store-locked")),
        }

    # Commands.

    async def resume(self) -> None:
        """Settle what the last run of the daemon left, and start what should run."""
        async with self._lock:
            if self.account.record.intent == "remove":
                return
            finding = await self._reconcile()
            if self.account.record.intent == "unpair" or self.account.state is State.LOGGED_OUT:
                await self._finish_forgetting()
            elif self._is_unusable(finding):
                return
            elif self.account.record.desired == "stopped":
                self._rest()
            elif self.account.record.is_linked:
                self.account.restore(State.CONNECTING, "start-queued")
                await self._launch()
            elif finding is Finding.DEVICE_GONE:
                await self._after_device_gone()
            else:
                await self._resume_pairing()

    async def pair(self) -> None:
        """Begin a new pairing attempt; an earlier one is torn down first.

        Raises:
            TowerError: `wrong-state` while a device is linked; `registry-unavailable`.
        """
        async with self._lock:
            self._require_unlinked()
            await self.account.intend(desired="running", intent=None)
            await self._end_worker()
            if self.account.record.is_linked:
                # The phone scanned the code of the attempt that was just torn down.
                self.account.move(Trigger.DEVICE_FOUND, None)
                await self._launch()
            else:
                await self._begin_attempt()
            await self._around.ledger.settle()

    async def start(self) -> None:
        """Let the account run; nothing changes when it does.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._lock:
            await self.account.intend(desired="running")
            if self.account.state in (State.STOPPED, State.FAILED):
                await self._start()
            await self._around.ledger.settle()

    async def stop(self) -> None:
        """Take the account offline; its device stays linked.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._lock:
            await self.account.intend(desired="stopped")
            if self.account.state is not State.STOPPED:
                self._timers.clear()
                await self._end_worker(grace_seconds=_GOODBYE_SECONDS)
                self._close_attempt()
                self._rest()
            await self._around.ledger.settle()

    async def restart(self) -> None:
        """End the session and start it anew.

        Raises:
            TowerError: `registry-unavailable`.
        """
        async with self._lock:
            await self.account.intend(desired="running")
            self._timers.clear()
            await self._end_worker(grace_seconds=_GOODBYE_SECONDS)
            self._backoff.reset()
            if self.account.attempt is not None and not self.account.record.is_linked:
                await self._begin_attempt()
            elif self.account.record.is_linked or self.account.state in (State.STOPPED, State.FAILED):
                await self._start()
            await self._around.ledger.settle()

    async def unpair(self) -> None:
        """Forget the linked device here; WhatsApp is not told.

        Raises:
            TowerError: `registry-unavailable`; nothing was changed.
        """
        async with self._lock:
            self._timers.clear()
            if self.account.state is State.UNPAIRED and not self.carrier.is_running:
                return
            await self.account.intend(intent="unpair")
            await self.carrier.end()
            await self._finish_forgetting()
            await self._around.ledger.settle()

    async def logout(self) -> LogoutReport:
        """Log the device out at WhatsApp and keep the account.

        Raises:
            TowerError: `logout-failed`, nothing was wiped; `registry-unavailable`.
        """
        async with self._lock:
            if not self.account.record.is_linked:
                return LogoutReport(outcome="not-linked")
            was = self.account.record
            await self.account.intend(intent="logout")
            report = await self._log_out()
            if report.outcome == "done":
                await self._forget(Trigger.UNPAIR, "logged-out-by-operator")
            else:
                await self._undo_logout(was, report)
            await self._around.ledger.settle()
        if report.outcome == "failed":
            raise TowerError(
                "logout-failed",
                f"WhatsApp did not log {self.account.name} out: {report.detail}",
                hint="nothing was wiped; try again, or remove the linked device on the phone "
                f"and run: towerctl unpair {self.account.name} --yes",
            )
        return report

    async def remove(self, *, require_logout: bool) -> LogoutReport:
        """Log out at WhatsApp as far as it can be done, then delete everything.

        Raises:
            TowerError: `logout-failed` when a logout is required, nothing was deleted;
                `registry-unavailable`.
        """
        async with self._lock:
            was = self.account.record
            await self.account.intend(intent="remove")
            report = LogoutReport(outcome="not-linked")
            if self.account.record.is_linked:
                report = await self._log_out()
                if require_logout and report.outcome != "done":
                    await self._undo_logout(was, report)
                    raise TowerError(
                        "logout-failed",
                        f"WhatsApp did not confirm the logout of {was.name}: {report.detail}",
                        hint="nothing was deleted; try again, or leave out --require-logout",
                    )
            self._timers.clear()
            await self.carrier.end()
            await asyncio.to_thread(self.carrier.store.remove)
            gone = self.account.draft("account.removed", {"logout": report.outcome})
            await self._around.ledger.settle()
            await self._around.ledger.commit(lambda registry: registry.delete(was.id, [gone]))
            self.account.mark_removed()
        return report

    async def set(self, **columns: Any) -> None:
        """Change names.

        Raises:
            NameTakenError: the name is taken.
            TowerError: `registry-unavailable`.
        """
        async with self._lock:
            await self.account.intend(**columns)

    async def close(self) -> None:
        """End the worker because the daemon ends; nothing is decided by it."""
        self._is_closing = True
        self._timers.clear()
        await self.carrier.end(grace_seconds=_GOODBYE_SECONDS)
        for task in self._aftermaths:
            task.cancel()

    # Reports of the worker.

    def _take(self, report: Reports) -> None:
        """Make of a report what is true; runs at once, in the order of the reports."""
        if self._is_closing:
            return
        taker = self._takers.get(type(report))
        if taker is not None:
            taker(report)
        else:
            log.debug("%s: %s", self.account.name, type(report).__name__)

    def _take_qr(self, report: messages.QrShown) -> None:
        attempt = self.account.attempt
        if attempt is None or self.account.state is not State.PAIRING:
            return
        if not attempt.show(report.payload, report.number, report.issued_at) or attempt.offer is None:
            return
        self._timers.stop("connect")
        self.account.emit(
            "session.qr",
            {
                "round": attempt.round,
                "number": attempt.number,
                "count": CODES_PER_ROUND,
                "expires_at": rfc3339(attempt.offer.expires_at),
            },
        )
        if self.account.record.reason != reason_while_pairing(self.account.record.reason):
            self.account.move(Trigger.PAIR, None)
        self.account.changed()

    def _take_pairing_over(self, report: messages.PairingOver) -> None:
        match report.status:
            case "success":
                pass
            case "err-client-outdated":
                self._after(self._give_up("client-outdated"))
            case status if status.startswith("passkey"):
                self._after(self._give_up("passkey-required"))
            case status:
                log.info("%s: the codes of this round are over: %s", self.account.name, status)
                self.carrier.kill()

    def _take_scanned(self, report: messages.Scanned) -> None:
        facts = self.account.identify(report.identity)
        if self.account.move(Trigger.SCANNED, None, is_linked=True, is_confirmed=False, **facts):
            self._timers.stop("pairing", "connect")
            self._timers.start(
                "authenticated", self._config.pairing.authenticated_seconds, self._after_slow_restart
            )
            if self.account.attempt is not None:
                self.account.attempt.withdraw()

    def _take_connected(self, report: messages.Connected) -> None:
        facts = self.account.identify(report.identity) if report.identity else {}
        now = self._around.clock.now()
        was_connected = self.account.state is State.CONNECTED
        if self.account.record.intent == "logout":
            # A logout whose end was unknown did not happen; one that is running has a newer generation soon.
            self._after(self.account.intend(intent=None))
        moved = self.account.move(
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
        self.account.attempt = None
        self.account.retry = None
        self._quick_deaths = 0
        self._timers.clear()
        self._timers.start("stable", self._config.reconnect.stable_seconds, self._backoff.reset)
        if not was_connected:
            self.account.emit("session.connected", {"phone": self.account.record.phone})
        self.account.changed()

    def _take_identity(self, report: messages.IdentityLearned) -> None:
        self.account.note(**self.account.identify(report.identity))

    def _take_disconnected(self, _report: messages.Disconnected) -> None:
        # While authenticated this is the restart that WhatsApp asked for; while pairing, PairingOver follows.
        if self.account.state is not State.CONNECTED:
            return
        self.account.retry = Retry(attempt=0, next_attempt_at=None)
        self._timers.stop("stable")
        self._timers.start("library", self._config.reconnect.library_seconds, self.carrier.kill)
        self.account.move(
            Trigger.DISCONNECTED, "connection-lost", last_disconnected_at=self._around.clock.now()
        )
        self.account.emit("session.disconnected", {"reason": "connection-lost"})

    def _take_logged_out(self, report: messages.LoggedOut) -> None:
        if self.account.record.intent is not None:
            # The logout that we asked for, confirmed the hard way.
            self._after(self._settle_logout())
        elif report.code == 403:
            self._after(self._give_up("locked", unlinked=True))
        elif report.code == 406:
            self._after(self._give_up("banned", unlinked=True))
        elif not self.account.record.is_confirmed:
            self._after(self._after_incomplete())
        elif self.account.move(Trigger.LOGGED_OUT, "logged-out-by-phone"):
            self.account.emit("session.logged_out", {"reason": "logged-out-by-phone", "by": "phone"})
            self._timers.clear()
            self._after(self._after_logged_out())

    def _take_banned(self, report: messages.Banned) -> None:
        if report.expires_in_seconds <= 0:
            self._after(self._give_up("banned"))
        else:
            self._after(self._wait_out_ban(float(report.expires_in_seconds)))

    # Aftermaths: each waits for the lock, and looks again at what is true by then.

    def _after(self, work: Coroutine[Any, Any, None]) -> None:
        async def under_lock(generation: int) -> None:
            async with self._lock:
                try:
                    if generation == self.carrier.generation and not self._is_closing:
                        await work
                finally:
                    work.close()

        task = asyncio.create_task(self._guarded(under_lock(self.carrier.generation)))
        self._aftermaths.add(task)
        task.add_done_callback(self._aftermaths.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except TowerError as error:
            log.error("%s: %s", self.account.name, error.message)
        except OSError as error:
            log.error("%s: the state directory cannot be used: %s", self.account.name, error)
            self._timers.start(
                "retry", self._config.reconnect.cap_seconds, lambda: self._after(self._start())
            )

    def _on_death(self, death: Death) -> None:
        if not self._is_closing:
            self._after(self._after_death(death))

    async def _after_death(self, death: Death) -> None:
        quick = death.lived_seconds < self._config.workers.crash_loop_seconds
        silent_crash = quick and death.cause == "worker-lost"
        self._quick_deaths = self._quick_deaths + 1 if silent_crash else 0
        was_running = self.account.state
        finding = await self._reconcile()
        if self._is_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self._after_device_gone()
        elif finding is Finding.NOTHING:
            self._next_round(death)
        elif was_running in ATTEMPT_STATES or finding is Finding.NEW_DEVICE:
            # The scan is recorded; log in at once, as the library would have.
            self.account.move(Trigger.DEVICE_FOUND, death.cause)
            await self._launch()
        elif was_running in LINKED_STATES:
            self._schedule_retry(death)

    async def _after_device_gone(self) -> None:
        """The row vanished without our hearing of it: WhatsApp removed the device."""
        if self.account.record.intent == "logout":
            await self._forget(Trigger.UNPAIR, "logged-out-by-operator")
        elif not self.account.record.is_confirmed:
            await self._after_incomplete()
        elif self.account.state in LINKED_STATES:
            self.account.move(Trigger.LOGGED_OUT, "logged-out-by-phone")
            self.account.emit("session.logged_out", {"reason": "logged-out-by-phone", "by": "phone"})
            await self._after_logged_out()
        else:
            await self._forget(Trigger.UNPAIR, "logged-out-by-phone")

    async def _after_logged_out(self) -> None:
        """Recorded first, then wiped, then paired anew by itself."""
        await self._settled_somehow()
        await self.carrier.end()
        await self._forget(Trigger.WIPED, "logged-out-by-phone")
        if self._config.pairing.automatic and self.account.record.desired == "running":
            self._timers.start("repair", _REPAIR_SECONDS, lambda: self._after(self._begin_attempt()))

    async def _after_incomplete(self) -> None:
        """The phone scanned, and WhatsApp did not know the device at the first login."""
        await self.carrier.end()
        attempt = self.account.attempt
        await self._forget(Trigger.ATTEMPT_OVER, "pairing-incomplete")
        if attempt is not None and self._around.clock.now() < attempt.deadline_at:
            await self._begin_attempt(attempt)

    async def _after_slow_restart_locked(self) -> None:
        finding = await self._end_worker()
        if self._is_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self._after_incomplete()
        else:
            self.account.move(Trigger.DEVICE_FOUND, "timeout")
            await self._launch()

    def _after_slow_restart(self) -> None:
        self._after(self._after_slow_restart_locked())

    async def _give_up(self, reason: str, *, unlinked: bool = False) -> None:
        """Stop the worker and wait for a human."""
        await self._end_worker()
        if unlinked:
            self.account.note(**_UNLINKED)
        self._fail(reason)

    async def _wait_out_ban(self, seconds: float) -> None:
        await self._end_worker()
        until = self._around.clock.now() + seconds
        self.account.retry = Retry(attempt=self._backoff.failures, next_attempt_at=until)
        self.account.move(Trigger.DISCONNECTED, "banned-until")
        self._timers.start("retry", seconds, lambda: self._after(self._launch()))

    async def _settle_logout(self) -> None:
        """A 401 under a logout of ours that had seemed to fail: it did happen."""
        await self.carrier.end()
        if self.account.record.intent == "logout":
            await self._forget(Trigger.UNPAIR, "logged-out-by-operator")

    async def _retry(self) -> None:
        await self._launch()

    # Steps that commands and aftermaths share; all under the lock.

    async def _launch(self) -> None:
        """Start a worker, and see that it gets somewhere in time."""
        try:
            await self.carrier.launch()
        except OSError as error:
            log.error("%s: no worker could be started: %s", self.account.name, error)
            self._schedule_retry(
                Death(generation=self.carrier.generation, lived_seconds=0, cause="worker-lost")
            )
            return
        self._timers.start("connect", self._config.workers.connect_seconds, self.carrier.kill)

    async def _end_worker(self, *, grace_seconds: float = 0.0) -> Finding:
        """End the worker and let the store say what is linked now."""
        await self.carrier.end(grace_seconds=grace_seconds)
        return await self._reconcile()

    async def _reconcile(self) -> Finding:
        report: StoreReport = await self.carrier.look()
        finding = reconcile(self.account.record, report)
        if finding is Finding.NEW_DEVICE and report.identity is not None:
            facts = self.account.identify(report.identity)
            self.account.note(is_linked=True, is_confirmed=False, **facts)
        elif finding in _UNUSABLE:
            log.error("%s: %s: %s", self.account.name, finding.value, report.detail)
        return finding

    def _is_unusable(self, finding: Finding) -> bool:
        """Fail the account when its store cannot be used; nothing is wiped by that."""
        if finding not in _UNUSABLE:
            return False
        self._fail(finding.value)
        return True

    async def _start(self) -> None:
        finding = await self._reconcile()
        if self._is_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self._forget(Trigger.UNPAIR, "logged-out-by-phone")
        elif self.account.record.is_linked:
            self._backoff.reset()
            self.account.move(Trigger.START_LINKED, None)
            await self._launch()
        else:
            self.account.move(Trigger.START_UNLINKED, self._unpaired_reason("never-paired"))

    async def _begin_attempt(self, former: PairingAttempt | None = None) -> None:
        """Begin a pairing attempt in a fresh directory, or go on with one whose deadline is not over."""
        now = self._around.clock.now()
        started_at = former.started_at if former else now
        attempt = PairingAttempt(
            started_at=started_at, deadline_at=started_at + self._config.pairing.timeout_seconds
        )
        self._timers.clear()
        self._quick_deaths = 0
        self._backoff.reset()
        await asyncio.to_thread(self.carrier.store.renew)
        self.account.attempt, self.account.retry = attempt, None
        self.account.move(
            Trigger.PAIR, reason_while_pairing(self.account.record.reason), pairing_started_at=started_at
        )
        self._timers.start(
            "pairing", attempt.deadline_at - now, lambda: self._after(self._after_pairing_deadline())
        )
        await self._launch()

    async def _after_pairing_deadline(self) -> None:
        attempt = self.account.attempt
        if self._is_unusable(await self._end_worker()):
            return
        if self.account.record.is_linked:
            # Scanned in the last moment.
            self.account.move(Trigger.DEVICE_FOUND, None)
            await self._launch()
            return
        offered = attempt is not None and attempt.has_offered
        await self._forget(Trigger.ATTEMPT_OVER, "pairing-timeout" if offered else "pairing-interrupted")
        self.account.emit("session.timeout", {})

    def _next_round(self, death: Death) -> None:
        """The worker of a pairing is gone: ask WhatsApp for new codes, as long as the attempt lasts."""
        attempt = self.account.attempt
        if attempt is None:
            return
        attempt.next_round()
        if self._is_crash_loop():
            return
        if death.cause in REASONS and death.cause != "client-ended":
            self.account.move(Trigger.PAIR, death.cause)
        # The codes ran out, or the line dropped: at once. A worker that got nowhere: with patience.
        was_showing = death.lived_seconds >= self._config.workers.crash_loop_seconds or attempt.has_offered
        delay = 0.0 if was_showing and death.cause != "worker-lost" else self._backoff.next_delay_seconds()
        self._timers.start("retry", delay, lambda: self._after(self._next_worker()))

    async def _next_worker(self) -> None:
        await asyncio.to_thread(self.carrier.store.renew)
        await self._launch()

    def _schedule_retry(self, death: Death) -> None:
        if self._is_crash_loop():
            return
        delay = self._backoff.next_delay_seconds()
        self.account.retry = Retry(
            attempt=self._backoff.failures, next_attempt_at=self._around.clock.now() + delay
        )
        was_connected = self.account.state is State.CONNECTED
        cause = death.cause if death.cause in REASONS else "client-error"
        if was_connected:
            self.account.note(last_disconnected_at=self._around.clock.now())
            self.account.emit("session.disconnected", {"reason": cause})
        self.account.move(Trigger.DISCONNECTED, cause)
        self._timers.start("retry", delay, lambda: self._after(self._retry()))

    def _is_crash_loop(self) -> bool:
        if self._quick_deaths < self._config.workers.crash_loop_exits:
            return False
        self._fail("worker-crash-loop")
        self._timers.start("retry", self._config.reconnect.slow_seconds, lambda: self._after(self._start()))
        return True

    async def _log_out(self) -> LogoutReport:
        """Log the device out at WhatsApp within the deadline, starting and connecting a worker if needed."""
        clock = self._around.clock
        deadline = clock.monotonic() + LOGOUT_SECONDS
        if not self.carrier.is_running:
            self._timers.clear()
            if await self._reconcile() is not Finding.SAME_DEVICE:
                return LogoutReport(outcome="failed", detail="the stored device cannot be used")
            self.account.move(Trigger.START_LINKED, None)
            await self._launch()
        connected = await self.account.until(
            lambda: self.account.state is State.CONNECTED or not self.carrier.is_running,
            deadline - clock.monotonic(),
        )
        if not connected or not self.carrier.is_running:
            return LogoutReport(outcome="failed", detail="no connection to WhatsApp")
        try:
            remaining = max(0.1, deadline - clock.monotonic())
            await self.carrier.ask(lambda order_id: messages.Logout(id=order_id), remaining)
        except OrderFailedError as error:
            return LogoutReport(outcome="unknown" if error.timed_out else "failed", detail=str(error))
        return LogoutReport(outcome="done")

    async def _undo_logout(self, was: AccountRecord, report: LogoutReport) -> None:
        """Go back to what the account was doing; a logout that may have happened is remembered."""
        await self.account.intend(intent="logout" if report.outcome == "unknown" else None)
        if was.desired == "stopped":
            await self._end_worker()
            self._timers.clear()
            self._rest()
        elif not self.carrier.is_running or report.outcome == "unknown":
            await self._end_worker()
            self._schedule_retry(Death(generation=0, lived_seconds=60, cause="server-silent"))

    async def _finish_forgetting(self) -> None:
        """Finish an unpair or a wipe that was recorded."""
        by_phone = self.account.state is State.LOGGED_OUT
        if self.account.record.intent == "unpair":
            await self._forget(Trigger.UNPAIR, "unpaired-by-operator")
            return
        await self._forget(Trigger.WIPED, "logged-out-by-phone")
        if by_phone and self._config.pairing.automatic and self.account.record.desired == "running":
            await self._begin_attempt()

    async def _forget(self, trigger: Trigger, reason: str) -> None:
        """Wipe the store and forget the device; what pairs next is expected to be the same phone."""
        self._timers.clear()
        await self.carrier.end()
        await asyncio.to_thread(self.carrier.store.renew)
        self._close_attempt()
        phone = self.account.record.phone
        self.account.move(trigger, self._unpaired_reason(reason), **_UNLINKED)
        await self._settled_somehow()
        await self.account.intend(intent=None, expected_phone=phone or self.account.record.expected_phone)

    async def _resume_pairing(self) -> None:
        """Settle a pairing that the last run left: go on inside its deadline, else give it up."""
        started_at = self.account.record.pairing_started_at
        if self.account.state is State.FAILED:
            return
        if started_at is None or self.account.state not in ATTEMPT_STATES:
            self.account.restore(State.UNPAIRED, self._unpaired_reason("never-paired"))
            return
        deadline = started_at + self._config.pairing.timeout_seconds
        if started_at <= self._around.clock.now() < deadline:
            await self._begin_attempt(PairingAttempt(started_at=started_at, deadline_at=deadline))
            return
        self.account.restore(State.UNPAIRED, self._unpaired_reason("pairing-interrupted"))
        self._close_attempt()
        await asyncio.to_thread(self.carrier.store.renew)

    async def _settled_somehow(self) -> None:
        """Wait until what happened is durable; a full disk is no reason to stop."""
        try:
            await self._around.ledger.settle()
        except TowerError as error:
            log.error("%s: going on although %s", self.account.name, error.message)

    def _rest(self) -> None:
        if self.account.state is State.STOPPED:
            return
        if self.account.record.desired == "stopped":
            self.account.move(Trigger.STOP, "stopped-by-operator")

    def _fail(self, reason: str) -> None:
        self._timers.clear()
        self._close_attempt()
        self.account.retry = None
        self.account.move(Trigger.FAILURE, reason)

    def _close_attempt(self) -> None:
        self.account.attempt = None
        if self.account.record.pairing_started_at is not None:
            self.account.note(pairing_started_at=None)

    def _unpaired_reason(self, reason: str) -> str:
        return lasting(self.account.record.reason, reason)

    def _require_unlinked(self) -> None:
        record = self.account.record
        if record.is_linked and self.account.state is not State.PAIRING:
            verb = "unpair" if record.state is State.FAILED else "logout"
            raise TowerError(
                "wrong-state",
                f"{record.name} is {record.state.value}: a device is linked"
                + (f" ({record.phone})" if record.phone else ""),
                hint=f"to link anew run: towerctl {verb} {record.name} --yes && towerctl pair {record.name}",
            )

    @property
    def is_about_to_pair(self) -> bool:
        """True when a pairing is going to begin by itself in a moment."""
        return self.account.state is State.LOGGED_OUT or self._timers.is_running("repair")

    @property
    def is_tired(self) -> bool:
        """True once so many reconnects failed that a human should look."""
        return self._backoff.is_slow

    def is_owned_by(self, owner: str) -> bool:
        """Tell whether a user, by name or number, owns this account."""
        uid = self.account.record.owner_uid
        if owner == str(uid):
            return True
        try:
            return pwd.getpwnam(owner).pw_uid == uid
        except KeyError:
            return False

    def has_address(self, address: str) -> bool:
        """Tell whether a JID or LID is this account's."""
        return address in (self.account.record.jid, self.account.record.lid)

    def announce(self) -> None:
        """Say that the account waits for its turn at the start; whatever was true before is not yet again."""
        record = self.account.record
        was_up = record.state in LINKED_STATES or record.state is State.AUTHENTICATED
        if record.desired == "running" and record.is_linked and was_up:
            self.account.restore(State.CONNECTING, "start-queued")

    def action(self) -> str | None:
        """Return what a human can do about the present state."""
        return action_for(self.account.record.reason, self.account.name)


_UNUSABLE = frozenset({Finding.DAMAGED, Finding.MISMATCH, Finding.LOCKED})

_UNLINKED: dict[str, Any] = {
    "is_linked": False,
    "is_confirmed": False,
    "is_primary": False,
    "jid": None,
    "lid": None,
    "device_number": None,
    "push_name": None,
    "business_name": None,
    "platform": None,
    "pairing_started_at": None,
}

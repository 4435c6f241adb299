"""The steps that one account's commands and aftermaths share.

The one rule: every step runs under the lock, and none wipes a store that may hold a device unless an
operator, WhatsApp or a failed pairing has ended that device.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions.messages import Reports
from sessions.states import State, Trigger
from sessions.store import StoreReport
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord
from towerd.clock import Clock
from towerd.config import Config
from towerd.protocol.errors import TowerError
from towerd.reasons import REASONS, lasting, reason_while_pairing
from towerd.supervision.account_state import AccountState, Retry
from towerd.supervision.backoff import Backoff
from towerd.supervision.carrier import Carrier, Death
from towerd.supervision.pairing import PairingAttempt
from towerd.supervision.reconcile import Finding, reconcile
from towerd.supervision.spawn import Spawner
from towerd.supervision.timers import Timers

log = logging.getLogger(__name__)

NO_DEVICE: dict[str, Any] = {
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
"""The facts of an account without a linked device."""

_UNUSABLE = frozenset({Finding.DAMAGED, Finding.MISMATCH, Finding.LOCKED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every account needs of the daemon."""

    config: Config
    clock: Clock
    ledger: Ledger
    spawner: Spawner
    sessions_dir: Path


class Lifecycle:
    """One account's state, worker and timers, and the steps between them.

    Args:
        record: the account as the registry has it.
        around: the daemon's parts.
        on_report: takes the worker's reports at once.
        on_death: told when the worker ended by itself.
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
        self.config = around.config
        self.account = AccountState(record, ledger=around.ledger, clock=around.clock)
        self.carrier = Carrier(
            record.id,
            label=lambda: self.account.name,
            sessions_dir=around.sessions_dir,
            device_name=around.config.pairing.device_name,
            spawner=around.spawner,
            on_report=on_report,
            on_death=on_death,
        )
        self.backoff = Backoff(around.config.reconnect)
        self.timers = Timers()
        self.lock = asyncio.Lock()
        self.quick_deaths = 0
        self.is_closing = False
        self._aftermaths: set[asyncio.Task[None]] = set()

    async def close(self, *, grace_seconds: float) -> None:
        """End the worker because the daemon ends; nothing is decided by it."""
        self.is_closing = True
        self.timers.clear()
        await self.carrier.end(grace_seconds=grace_seconds)
        for task in self._aftermaths:
            task.cancel()

    def after(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something as soon as the lock is free, unless the worker it was about is another by then."""

        async def under_lock(generation: int) -> None:
            async with self.lock:
                try:
                    if generation == self.carrier.generation and not self.is_closing:
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
            self.timers.start("retry", self.config.reconnect.cap_seconds, lambda: self.after(self.start()))

    async def launch(self) -> None:
        """Start a worker, and see that it gets somewhere in time."""
        try:
            await self.carrier.launch()
        except OSError as error:
            log.error("%s: no worker could be started: %s", self.account.name, error)
            self.schedule_retry(
                Death(generation=self.carrier.generation, lived_seconds=0, cause="worker-lost")
            )
            return
        self.timers.start("connect", self.config.workers.connect_seconds, self.carrier.kill)

    async def end_worker(self, *, grace_seconds: float = 0.0) -> Finding:
        """End the worker and let the store say what is linked now."""
        await self.carrier.end(grace_seconds=grace_seconds)
        return await self.reconcile()

    async def reconcile(self) -> Finding:
        """Let the store say what is linked; no worker may be running."""
        report: StoreReport = await self.carrier.look()
        finding = reconcile(self.account.record, report)
        if finding is Finding.NEW_DEVICE and report.identity is not None:
            facts = self.account.identify(report.identity)
            self.account.note(is_linked=True, is_confirmed=False, **facts)
        elif finding in _UNUSABLE:
            log.error("%s: %s: %s", self.account.name, finding.value, report.detail)
        return finding

    def fail_if_unusable(self, finding: Finding) -> bool:
        """Fail the account when its store cannot be used; nothing is wiped by that."""
        if finding not in _UNUSABLE:
            return False
        self.fail(finding.value)
        return True

    async def start(self) -> None:
        """Start a session on the device that the store holds, if it holds one."""
        finding = await self.reconcile()
        if self.fail_if_unusable(finding):
            return
        if finding is Finding.DEVICE_GONE:
            await self.forget(Trigger.UNPAIR, "logged-out-by-phone")
        elif self.account.record.is_linked:
            self.backoff.reset()
            self.account.move(Trigger.START_LINKED, None)
            await self.launch()
        else:
            self.account.move(Trigger.START_UNLINKED, self.unpaired_reason("never-paired"))

    async def begin_attempt(self, former: PairingAttempt | None = None) -> None:
        """Begin a pairing attempt in a fresh directory, or go on with one whose deadline is not over."""
        now = self.around.clock.now()
        started_at = former.started_at if former else now
        attempt = PairingAttempt(
            started_at=started_at, deadline_at=started_at + self.config.pairing.timeout_seconds
        )
        self.timers.clear()
        self.quick_deaths = 0
        self.backoff.reset()
        await asyncio.to_thread(self.carrier.store.renew)
        self.account.attempt, self.account.retry = attempt, None
        self.account.move(
            Trigger.PAIR, reason_while_pairing(self.account.record.reason), pairing_started_at=started_at
        )
        self.timers.start(
            "pairing", attempt.deadline_at - now, lambda: self.after(self._after_pairing_deadline())
        )
        await self.launch()

    def schedule_retry(self, death: Death) -> None:
        """Try again by the schedule after a worker ended that carried a linked device."""
        if self.fail_if_crash_loop():
            return
        delay = self.backoff.next_delay_seconds()
        self.account.retry = Retry(
            attempt=self.backoff.failures, next_attempt_at=self.around.clock.now() + delay
        )
        was_connected = self.account.state is State.CONNECTED
        cause = death.cause if death.cause in REASONS else "client-error"
        if was_connected:
            self.account.note(last_disconnected_at=self.around.clock.now())
            self.account.emit("session.disconnected", {"reason": cause})
        self.account.move(Trigger.DISCONNECTED, cause)
        self.timers.start("retry", delay, lambda: self.after(self.launch()))

    def fail_if_crash_loop(self) -> bool:
        """Fail the account when its workers die one after the other; go on slowly."""
        if self.quick_deaths < self.config.workers.crash_loop_exits:
            return False
        self.fail("worker-crash-loop")
        self.timers.start("retry", self.config.reconnect.slow_seconds, lambda: self.after(self.start()))
        return True

    async def forget(self, trigger: Trigger, reason: str) -> None:
        """Wipe the store and forget the device; what pairs next is expected to be the same phone."""
        self.timers.clear()
        await self.carrier.end()
        await asyncio.to_thread(self.carrier.store.renew)
        self.close_attempt()
        phone = self.account.record.phone
        self.account.move(trigger, self.unpaired_reason(reason), **NO_DEVICE)
        await self.settle_somehow()
        await self.account.intend(intent=None, expected_phone=phone or self.account.record.expected_phone)

    async def settle_somehow(self) -> None:
        """Wait until what happened is durable; a full disk is no reason to stop."""
        try:
            await self.around.ledger.settle()
        except TowerError as error:
            log.error("%s: going on although %s", self.account.name, error.message)

    def rest(self) -> None:
        """Go to `stopped` when that is what the operator wants."""
        if self.account.state is State.STOPPED:
            return
        if self.account.record.desired == "stopped":
            self.account.move(Trigger.STOP, "stopped-by-operator")

    def fail(self, reason: str) -> None:
        """Wait for a human."""
        self.timers.clear()
        self.close_attempt()
        self.account.retry = None
        self.account.move(Trigger.FAILURE, reason)

    def close_attempt(self) -> None:
        """End the pairing attempt, and with it the QR on offer."""
        self.account.attempt = None
        if self.account.record.pairing_started_at is not None:
            self.account.note(pairing_started_at=None)

    def unpaired_reason(self, reason: str) -> str:
        """Return the reason to show: a lasting cause is not overwritten by a weaker one."""
        return lasting(self.account.record.reason, reason)

    async def _after_pairing_deadline(self) -> None:
        attempt = self.account.attempt
        if self.fail_if_unusable(await self.end_worker()):
            return
        if self.account.record.is_linked:
            # Scanned in the last moment.
            self.account.move(Trigger.DEVICE_FOUND, None)
            await self.launch()
            return
        offered = attempt is not None and attempt.has_offered
        await self.forget(Trigger.ATTEMPT_OVER, "pairing-timeout" if offered else "pairing-interrupted")
        self.account.emit("session.timeout", {})

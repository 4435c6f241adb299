"""A logout at WhatsApp: started, connected for if needed, asked for, and its end found out.

The one rule: it takes no longer than its deadline, and says `done` only when WhatsApp or the store has.
"""

from __future__ import annotations

from dataclasses import dataclass

from sessions import messages
from sessions.states import State, Trigger
from towerd.accounts.records import AccountRecord
from towerd.protocol.types import LogoutOutcome
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.process import OrderFailedError, WorkerEndedError
from towerd.supervision.reconcile import Finding

LOGOUT_SECONDS = 15.0
"""What WhatsApp is given to confirm a logout, start and connect included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutReport:
    """How a logout at WhatsApp went, and the library's words."""

    outcome: LogoutOutcome
    detail: str | None = None


class Logout:
    """Logs one account's device out; runs under the account's lock.

    Args:
        life: the account's lifecycle.
    """

    def __init__(self, life: Lifecycle) -> None:
        self._life = life
        self._account = life.account
        self._carrier = life.carrier

    @property
    def _is_refused(self) -> bool:
        """Tell whether WhatsApp has refused the login, because the device was removed before we could ask."""
        return self._life.refused_generation == self._carrier.generation

    async def carry_out(self) -> LogoutReport:
        """Log the device out and forget it, or go back to what the account was doing."""
        was = self._account.record
        report = await self.run()
        if report.outcome == "done":
            await self._life.forget(Trigger.UNPAIR, "logged-out-by-operator")
        else:
            await self.undo(was, report)
        return report

    async def finish(self) -> None:
        """Carry out what a kill of the daemon cut short of an account at rest; others hear at their login."""
        record = self._account.record
        if record.intent == "logout" and record.desired == "stopped" and record.is_linked:
            await self.carry_out()

    async def run(self) -> LogoutReport:
        """Log the device out at WhatsApp within the deadline; a worker that dies over it gets a successor."""
        clock = self._life.around.clock
        deadline = clock.monotonic() + LOGOUT_SECONDS
        while True:
            report = await self._connect_for_logout(deadline)
            if report is not None:
                return report
            try:
                remaining = max(0.1, deadline - clock.monotonic())
                await self._carrier.ask(lambda order_id: messages.Logout(id=order_id), remaining)
            except WorkerEndedError:
                continue
            except OrderFailedError as error:
                return await self._look_after_logout(error)
            return LogoutReport(outcome="done")

    async def undo(self, was: AccountRecord, report: LogoutReport) -> None:
        """Go back to what the account was doing; a logout that may have happened is remembered."""
        await self._life.conclusions.draw(intent="logout" if report.outcome == "unknown" else None)
        if was.state is State.FAILED or was.desired == "stopped":
            await self._life.quiet()
            self._life.timers.clear()
        if was.state is State.FAILED:
            self._life.fail(was.reason or "worker-lost")
        elif was.desired == "stopped":
            self._life.rest()
        elif not self._life.may_go_on:
            # It was let past the fleet for the logout alone.
            await self._life.quiet()
            await self._life.launch()
        elif not self._carrier.is_running:
            self._life.schedule_retry("server-silent")

    async def _look_after_logout(self, error: OrderFailedError) -> LogoutReport:
        """Let the store say how a logout ended that was not answered in time."""
        if not error.timed_out:
            return LogoutReport(outcome="failed", detail=str(error))
        if await self._life.end_worker() is Finding.DEVICE_GONE:
            return LogoutReport(outcome="done")
        return LogoutReport(outcome="unknown", detail=str(error))

    async def _connect_for_logout(self, deadline: float) -> LogoutReport | None:
        """Start and connect a worker if needed; return how the logout ended when it cannot be asked for."""
        clock = self._life.around.clock
        if not self._carrier.is_running:
            self._life.timers.clear()
            finding = await self._life.end_worker()
            if finding is Finding.DEVICE_GONE:
                # The worker died after WhatsApp had confirmed.
                return LogoutReport(outcome="done")
            if finding is not Finding.SAME_DEVICE:
                return LogoutReport(outcome="failed", detail="the stored device cannot be used")
            self._account.move(Trigger.START_LINKED, None)
            await self._life.launch_at_once()
        connected = await self._account.until(
            lambda: (
                self._account.state is State.CONNECTED or not self._carrier.is_running or self._is_refused
            ),
            deadline - clock.monotonic(),
        )
        if self._is_refused:
            # Whether the library came to delete its row or not.
            await self._life.quiet()
            return LogoutReport(outcome="done")
        if not connected or not self._carrier.is_running:
            return LogoutReport(outcome="failed", detail="no connection to WhatsApp")
        return None

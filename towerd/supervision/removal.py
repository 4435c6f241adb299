"""The removal of one account: logged out, files, row, in that order.

The one rule: nothing is deleted before WhatsApp was asked; what the disk does not let go is deleted at the
next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from sessions.states import ATTEMPT_STATES, State, Trigger
from towerd.protocol.errors import TowerError
from towerd.supervision.account_state import NO_DEVICE
from towerd.supervision.lifecycle import Lifecycle
from towerd.supervision.logout import LOGOUT_SECONDS, Logout, LogoutReport
from towerd.supervision.moving import ELSEWHERE
from towerd.supervision.reconcile import Finding

_WITHOUT_DEVICE = ATTEMPT_STATES | {State.UNPAIRED}


class Removal:
    """Removes one account.

    Args:
        life: the account's lifecycle.
        logout: logs its device out.
        turn: waits for the account's turn.
    """

    def __init__(
        self, life: Lifecycle, logout: Logout, *, turn: Callable[[], AbstractAsyncContextManager[None]]
    ) -> None:
        self._life = life
        self._account = life.account
        self._logout = logout
        self._turn = turn

    async def run(self, *, require_logout: bool) -> LogoutReport:
        """Log out at WhatsApp as far as it can be done, then delete everything.

        Raises:
            TowerError: `logout-failed` when a logout is required, nothing was deleted;
                `registry-unavailable`.
        """
        await self._finish_eviction()
        async with self._turn():
            was, is_fenced = self._account.record, self._life.is_fenced
            if is_fenced and require_logout:
                raise TowerError(
                    "wrong-state",
                    f"{was.name} was exported: only who has its device now can log it out",
                    hint="leave out --require-logout, and what is left here is deleted",
                )
            await self._account.intend(intent="remove")
            if self._account.state is State.LOGGED_OUT:
                await self._life.forget(Trigger.WIPED, "logged-out-by-phone")
                await self._account.intend(intent="remove")
            report = LogoutReport(outcome="not-linked")
            if is_fenced:
                report = LogoutReport(outcome="not-linked", detail=ELSEWHERE)
            elif self._account.record.is_linked:
                report = await self._logout.run()
                if require_logout and report.outcome != "done":
                    await self._logout.undo(was, report)
                    raise TowerError(
                        "logout-failed",
                        f"WhatsApp did not confirm the logout of {was.name}: {report.detail}",
                        hint="nothing was deleted; try again, or leave out --require-logout",
                    )
                if report.outcome != "done":
                    # Nobody can ask for this any more once the account is gone.
                    left = f"remove the linked device {self._life.config.pairing.device_name} on {was.phone}"
                    report = LogoutReport(outcome=report.outcome, detail=f"{report.detail}; {left}")
            await self._delete(report)
        return report

    async def _finish_eviction(self) -> None:
        """Let a device that may not stay be logged out; once the account is gone nobody can."""
        async with self._turn():
            if not self._account.record.is_linked and self._life.eviction is None:
                await self._account.intend(intent="remove")
                # The store may hold a scan that nobody has heard of; the phone lists that device.
                if await self._life.end_worker() is Finding.REFUSED_DEVICE:
                    await self._life.evict()
                elif self._account.record.is_linked and self._account.state in _WITHOUT_DEVICE:
                    self._account.move(Trigger.DEVICE_FOUND, None)
        await self._account.until(lambda: self._life.eviction is None, 2 * LOGOUT_SECONDS)

    async def _delete(self, report: LogoutReport) -> None:
        """Delete files, then the row; what the disk does not let us delete is deleted at the next start."""
        record, around = self._account.record, self._life.around
        self._life.timers.clear()
        await self._life.quiet()
        around.fleet.forget(record.id)
        try:
            await asyncio.to_thread(self._life.carrier.store.remove)
            gone = self._account.draft("account.removed", {"logout": report.outcome})
            around.auditor.by_itself("removed", record, detail=f"logout {report.outcome}")
            await around.ledger.settle()
            await around.ledger.commit(lambda registry: registry.delete(record.id, [gone]))
        except (TowerError, OSError):
            self._life.close_attempt()
            self._account.move(Trigger.UNPAIR, "logged-out-by-operator", **NO_DEVICE)
            raise
        around.roster.leave(self._account)
        self._account.mark_removed()
        around.roster.elect_primary(record.owner_uid)

"""One account's groups, as WhatsApp lists them.

The one rule: a list is taken over whole or not at all; one that cannot be had is asked for again, and changes
nothing.
"""

from __future__ import annotations

import asyncio
import logging

from sessions import messages
from sessions.messages import Group
from sessions.states import State
from towerd.protocol.errors import TowerError
from towerd.supervision.account_state import AccountState
from towerd.supervision.carrier import Carrier
from towerd.supervision.process import OrderFailedError
from towerd.supervision.surroundings import Surroundings

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 90.0
"""The library waits 75 s for an answer (whatsmeow request.go)."""
_SETTLE_SECONDS = 1.0
"""Changes come in bursts; the list is asked for when one is over."""
_RETRY_SECONDS = (5.0, 30.0, 120.0, 600.0)


class Groups:
    """Keeps one account's groups in step.

    Args:
        account: whose groups they are.
        carrier: its worker is asked for them.
        around: the daemon's parts.
    """

    def __init__(self, account: AccountState, carrier: Carrier, around: Surroundings) -> None:
        self._account = account
        self._carrier = carrier
        self._around = around
        self._told: dict[int, list[Group]] = {}
        self._task: asyncio.Task[None] | None = None

    def refresh(self) -> None:
        """Ask for the list in a moment; what was about to be asked is asked then."""
        self.close()
        self._task = asyncio.create_task(self._synchronise(), name=f"groups {self._account.name}")

    def take(self, report: messages.GroupTold) -> None:
        """Take one group of a list that was asked for."""
        if report.order in self._told:
            self._told[report.order].append(report.group)

    def close(self) -> None:
        """Ask no more."""
        if self._task is not None:
            self._task.cancel()

    async def _synchronise(self) -> None:
        await asyncio.sleep(_SETTLE_SECONDS)
        for delay in (*_RETRY_SECONDS, None):
            if self._account.state is not State.CONNECTED:
                # The next login asks anew.
                return
            try:
                await self._take_over(await self._ask())
            except (OrderFailedError, TowerError) as error:
                log.warning("%s: the groups could not be synchronised: %s", self._account.name, error)
            else:
                return
            if delay is not None:
                await asyncio.sleep(delay)

    async def _ask(self) -> list[Group]:
        """Ask the worker for the groups.

        Raises:
            OrderFailedError: it could not tell all of them.
        """
        asked: list[int] = []

        def order(order_id: int) -> messages.ListGroups:
            asked.append(order_id)
            self._told[order_id] = []
            return messages.ListGroups(id=order_id)

        try:
            count = await self._carrier.ask(order, _ANSWER_SECONDS)
            groups = self._told[asked[0]]
        finally:
            for order_id in asked:
                self._told.pop(order_id, None)
        if count != str(len(groups)):
            msg = f"{len(groups)} groups were told of {count}"
            raise OrderFailedError(msg)
        return groups

    async def _take_over(self, groups: list[Group]) -> None:
        now, account_id = self._around.clock.now(), self._account.record.id
        event = self._account.draft("groups.synced", {"count": len(groups)})
        await self._around.ledger.commit(
            lambda registry: registry.replace_groups(account_id, groups, synced_at=now, events=[event])
        )

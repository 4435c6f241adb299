"""The list of groups is taken over whole, asked for again when it cannot be had, and moves no state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions.messages import Group, GroupTold, Member
from sessions.states import State
from tests.unit.towerd.accounts.test_registry import a_linked_account
from tests.unit.towerd.waiting import run, turns, until
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import GroupRecord
from towerd.accounts.registry import Registry
from towerd.clock import SystemClock
from towerd.supervision import groups as groups_module
from towerd.supervision.account_state import AccountState
from towerd.supervision.groups import Groups
from towerd.supervision.process import OrderFailedError

TOWERS = Group(
    jid="1@g.us", name="Towers", members=[Member(jid="491511111111@s.whatsapp.net", lid=None, is_admin=True)]
)
BELLS = Group(jid="2@g.us", name="Bells", members=[])


class Carrier:
    """A worker that tells of groups as the test says: those it tells of, and how many it says there are."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: list[Any] = []
        self.groups: Groups | None = None

    async def ask(self, order: Any, _deadline_seconds: float) -> str:
        self.asked += 1
        order_id = order(self.asked).id
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        told, count = answer
        assert self.groups is not None
        for group in told:
            self.groups.take(GroupTold(order=order_id, group=group))
        # One of an order that is over changes nothing.
        self.groups.take(GroupTold(order=order_id + 1000, group=BELLS))
        return str(count)


class Desk:
    """Groups on a real ledger."""

    def __init__(self, directory: Path) -> None:
        self.events: list[Any] = []
        self.ledger = Ledger(Registry(directory / "tower.db"), self.events.extend)
        clock = SystemClock()
        self.record = a_linked_account(state=State.CONNECTED)
        self.account = AccountState(self.record, ledger=self.ledger, clock=clock)
        self.carrier = Carrier()
        around = type("Around", (), {"ledger": self.ledger, "clock": clock})()
        self.groups = self.carrier.groups = Groups(self.account, self.carrier, around)  # type: ignore[arg-type]

    async def known(self) -> list[GroupRecord]:
        return await self.ledger.read(lambda registry: registry.groups(self.record.id))


@asynccontextmanager
async def a_desk(directory: Path) -> AsyncIterator[Desk]:
    desk = Desk(directory)
    await desk.ledger.open()
    try:
        await desk.ledger.commit(lambda registry: registry.insert(desk.record))
        yield desk
    finally:
        desk.groups.close()
        await desk.ledger.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups_module, "_SETTLE_SECONDS", 0.01)
    monkeypatch.setattr(groups_module, "_RETRY_SECONDS", (0.01, 0.01))


def test_a_list_that_cannot_be_had_is_asked_for_again_and_moves_no_state(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [OrderFailedError("timeout"), ([TOWERS], 2), ([TOWERS, BELLS], 2)]
            desk.groups.refresh()
            await until(lambda: desk.events)
            # By name; what was told of incompletely was never there.
            assert [one.group for one in await desk.known()] == [BELLS, TOWERS]
            assert [(one.type, one.data) for one in desk.events] == [("groups.synced", {"count": 2})]
            assert (desk.carrier.asked, desk.account.state) == (3, State.CONNECTED)

    run(scene())


def test_a_list_that_never_comes_leaves_the_last_one(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [([TOWERS], 1), *[OrderFailedError("timeout")] * 3]
            desk.groups.refresh()
            await until(lambda: desk.events)
            desk.groups.refresh()
            await until(lambda: desk.carrier.asked == 4)
            await turns()
            assert [one.group for one in await desk.known()] == [TOWERS]

    run(scene())


def test_changes_in_a_burst_are_asked_for_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.carrier.answers = [([BELLS], 1)]
            for _ in range(20):
                desk.groups.refresh()
            await until(lambda: desk.events)
            assert desk.carrier.asked == 1

    run(scene())

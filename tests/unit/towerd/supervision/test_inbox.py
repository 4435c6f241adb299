"""Messages are committed before the worker may forget them, once each, though the registry may fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sessions import messages
from sessions.messages import MessageCame
from sessions.spool import Spool
from sessions.store import Store
from tests.unit.sessions.test_spool import a_message
from tests.unit.towerd.accounts.test_registry import an_account
from tests.unit.towerd.waiting import run, turns, until
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import MessageQuery, MessageRecord
from towerd.accounts.registry import Registry
from towerd.clock import SystemClock, day_of
from towerd.config import Config
from towerd.supervision import inbox as inbox_module
from towerd.supervision.account_state import AccountState
from towerd.supervision.inbox import Inbox
from towerd.supervision.tally import Tally


class Carrier:
    """What an inbox needs of a carrier."""

    def __init__(self, directory: Path, account_id: str) -> None:
        self.store = Store(directory, account_id)
        self.store.ensure()
        self.generation = 1
        self.told: list[Any] = []

    def tell(self, order: Any) -> None:
        self.told.append(order)


class Desk:
    """An inbox on a real ledger."""

    def __init__(self, directory: Path) -> None:
        self.published: list[Any] = []
        self.ledger = Ledger(Registry(directory / "tower.db"), self.published.extend)
        clock = SystemClock()
        self.record = an_account()
        self.account = AccountState(self.record, ledger=self.ledger, clock=clock)
        self.carrier = Carrier(directory, self.record.id)
        around = type("Around", (), {"ledger": self.ledger, "clock": clock, "config": Config()})()
        self.inbox = Inbox(self.account, self.carrier, Tally(self.account, around), around)  # type: ignore[arg-type]

    async def kept(self) -> list[MessageRecord]:
        query = MessageQuery(account_id=self.record.id)
        return await self.ledger.read(lambda registry: registry.messages(query))

    async def received(self) -> int:
        def counts(registry: Registry) -> int:
            return registry.traffic(self.record.id, day_of(SystemClock().now(), "")).received

        return await self.ledger.read(counts)

    async def until_told(self, number: int) -> None:
        await until(lambda: messages.Committed(number=number) in self.carrier.told)


@asynccontextmanager
async def a_desk(directory: Path) -> AsyncIterator[Desk]:
    desk = Desk(directory)
    await desk.ledger.open()
    try:
        await desk.ledger.commit(lambda registry: registry.insert(desk.record))
        yield desk
    finally:
        desk.inbox.close()
        await desk.ledger.close()


def test_message_is_kept_then_told_of_then_forgotten_by_the_worker(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.inbox.take(MessageCame(number=1, message=a_message(1, "secret words")))
            await desk.until_told(1)
            (kept,) = await desk.kept()
            assert (kept.text, kept.sender) == ("secret words", "491701234567@s.whatsapp.net")
            (event,) = desk.published
            assert event.type == "message.received"
            assert event.data == {
                "message": kept.id,
                "chat": kept.chat,
                "sender": kept.sender,
                "kind": "text",
            }
            assert desk.account.record.last_activity_at is not None
            assert await desk.received() == 1

    run(scene())


def test_message_that_comes_twice_is_kept_and_counted_once(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            for number in (1, 2):
                desk.inbox.take(MessageCame(number=number, message=a_message(7)))
            await desk.until_told(2)
            assert (len(await desk.kept()), len(desk.published), await desk.received()) == (1, 1, 1)

    run(scene())


def test_own_words_are_kept_and_neither_counted_nor_told_of(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            own = inbox_module.msgspec.structs.replace(a_message(1), from_me=True)
            desk.inbox.take(MessageCame(number=1, message=own))
            await desk.until_told(1)
            assert (len(await desk.kept()), desk.published, await desk.received()) == (1, [], 0)

    run(scene())


def test_what_a_worker_left_is_taken_and_the_spool_removed(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            left = Spool(desk.carrier.store.directory)
            for number in range(3):
                left.append(a_message(number))
            await desk.inbox.take_spool()
            assert [one.message_id for one in await desk.kept()] == ["3EB0", "3EB1", "3EB2"]
            assert desk.carrier.store.spooled() == []
            assert list(desk.carrier.store.directory.iterdir()) == []

    run(scene())


def test_a_registry_that_cannot_be_written_delays_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox_module, "_RETRY_SECONDS", 0.01)

    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            trigger = "CREATE TRIGGER refuse BEFORE INSERT ON message BEGIN SELECT RAISE(ABORT, 'full'); END"
            await desk.ledger.read(lambda registry: registry._database.execute_sql(trigger))
            spool = Spool(desk.carrier.store.directory)
            spooled = spool.append(a_message())
            desk.inbox.take(MessageCame(number=spooled.number, message=spooled.message))
            await desk.inbox.take_spool()
            assert desk.carrier.told == []
            assert len(desk.carrier.store.spooled()) == 1
            await desk.ledger.read(lambda registry: registry._database.execute_sql("DROP TRIGGER refuse"))
            await desk.until_told(1)
            assert len(await desk.kept()) == 1

    run(scene())


def test_a_worker_is_not_told_of_numbers_of_its_predecessor(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.inbox.take(MessageCame(number=9, message=a_message()))
            desk.carrier.generation += 1
            await until(lambda: desk.published)
            await turns()
            assert desk.carrier.told == []

    run(scene())


def test_the_oldest_go(tmp_path: Path) -> None:
    async def scene() -> None:
        async with a_desk(tmp_path) as desk:
            desk.inbox._around.config = inbox_module.msgspec.structs.replace(
                Config(), messages=inbox_module.msgspec.structs.replace(Config().messages, kept=100)
            )
            for number in range(250):
                desk.inbox.take(MessageCame(number=number + 1, message=a_message(number)))
            await desk.until_told(250)
            kept = await desk.kept()
            assert len(kept) == 100
            assert kept[-1].message_id == "3EB249"

    run(scene())

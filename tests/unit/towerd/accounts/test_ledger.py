"""The ledger: what was asked for is durable or refused, what happened is written as soon as it can be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from sessions.states import State
from tests.unit.towerd.builders import (
    ACCOUNT_ID,
    a_linked_account,
    a_transition,
    account_id,
    an_account,
    an_event,
)
from tests.unit.towerd.waiting import run, turns, until
from towerd.accounts import ledger as ledger_module
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import EventQuery, EventRecord
from towerd.accounts.registry import Registry
from towerd.accounts.transactions import NameTakenError
from towerd.protocol.errors import TowerError


class Desk:
    """A ledger on a real registry, what it published, and a way to make the disk refuse."""

    def __init__(self, database: Path) -> None:
        self.published: list[EventRecord] = []
        self._database = database
        self.ledger = Ledger(Registry(database), self._publish)

    def _publish(self, events: Sequence[EventRecord]) -> None:
        self.published.extend(events)

    def refuse(self) -> None:
        """Let every write to the database fail from now on."""
        self._change(
            "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )

    def relent(self) -> None:
        """Let writes succeed again."""
        self._change("DROP TRIGGER full")

    def _change(self, statement: str) -> None:
        with contextlib.closing(sqlite3.connect(self._database, timeout=10)) as connection, connection:
            connection.execute(statement)

    def kept_events(self) -> list[tuple[int, str]]:
        with contextlib.closing(sqlite3.connect(self._database)) as connection:
            return connection.execute("SELECT id, type FROM event ORDER BY id").fetchall()


@pytest.fixture(autouse=True)
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_module, "_RETRY_SECONDS", 0.02)


@contextlib.asynccontextmanager
async def a_desk(database: Path) -> AsyncIterator[Desk]:
    desk = Desk(database)
    await desk.ledger.open()
    try:
        yield desk
    finally:
        await desk.ledger.close()


def test_commit_is_durable_and_then_published(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            await desk.ledger.commit(lambda registry: registry.insert(an_account(), [an_event()]))
            assert desk.kept_events() == [(1, "session.state")]
            await until(lambda: desk.published)
            assert [one.id for one in desk.published] == [1]

    run(scene())


def test_commit_that_fails_raises_and_changes_and_publishes_nothing(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            desk.refuse()
            with pytest.raises(TowerError) as caught:
                await desk.ledger.commit(lambda registry: registry.insert(an_account(), [an_event()]))
            assert caught.value.slug == "registry-unavailable"
            assert "disk is full" in caught.value.message
            assert caught.value.hint
            desk.relent()
            assert await desk.ledger.read(lambda registry: registry.accounts()) == []
            await turns()
            assert desk.published == []

    run(scene())


def test_taken_name_passes_through_and_changes_nothing(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            await desk.ledger.commit(lambda registry: registry.insert(an_account()))
            with pytest.raises(NameTakenError):
                await desk.ledger.commit(
                    lambda registry: registry.insert(an_account(id=account_id(1)), [an_event()])
                )
            await turns()
            assert desk.published == []

    run(scene())


def test_read_that_fails_says_so(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            with contextlib.closing(sqlite3.connect(database)) as connection, connection:
                connection.execute("ALTER TABLE account RENAME TO gone")
            with pytest.raises(TowerError) as caught:
                await desk.ledger.read(lambda registry: registry.accounts())
            assert caught.value.slug == "registry-unavailable"

    run(scene())


def test_post_is_written_behind(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            await desk.ledger.commit(lambda registry: registry.insert(an_account()))
            desk.ledger.post(a_linked_account(), transition=a_transition(), events=[an_event()])
            await desk.ledger.settle()
            assert await desk.ledger.read(lambda registry: registry.accounts()) == [a_linked_account()]
            history = await desk.ledger.read(lambda registry: registry.history(ACCOUNT_ID, 1))
            assert history == [a_transition()]
            assert [one.data for one in desk.published] == [{"number": 1}]

    run(scene())


def test_only_the_last_of_many_posts_of_an_account_counts(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            await desk.ledger.commit(lambda registry: registry.insert(an_account()))
            for number in range(100):
                desk.ledger.post(a_linked_account(last_seen_at=float(number)))
            await desk.ledger.settle()
            (kept,) = await desk.ledger.read(lambda registry: registry.accounts())
            assert kept.last_seen_at == 99.0

    run(scene())


def test_settle_with_nothing_posted_returns_at_once(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            async with asyncio.timeout(1):
                await desk.ledger.settle()

    run(scene())


def test_post_while_the_disk_refuses_never_raises_and_is_written_later(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            await desk.ledger.commit(lambda registry: registry.insert(an_account()))
            desk.refuse()
            desk.ledger.post(a_linked_account(), transition=a_transition(1), events=[an_event(1)])
            await until(lambda: desk.ledger.trouble)
            desk.ledger.post(transition=a_transition(2), events=[an_event(2)])
            desk.ledger.post(a_linked_account(state=State.RECONNECTING), events=[an_event(3)])
            await turns()
            assert desk.kept_events() == []
            assert desk.published == []
            desk.relent()
            await until(lambda: desk.ledger.trouble is None)
            await desk.ledger.settle()
            assert [one.data["number"] for one in desk.published] == [1, 2, 3]
            (kept,) = await desk.ledger.read(lambda registry: registry.accounts())
            assert kept.state is State.RECONNECTING
            history = await desk.ledger.read(lambda registry: registry.history(ACCOUNT_ID, 2))
            assert history == [a_transition(2), a_transition(1)]

    run(scene())


def test_settle_raises_in_trouble_and_succeeds_after(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            desk.refuse()
            desk.ledger.post(events=[an_event()])
            with pytest.raises(TowerError) as caught:
                await desk.ledger.settle()
            assert caught.value.slug == "registry-unavailable"
            with pytest.raises(TowerError):
                await desk.ledger.settle()
            desk.relent()
            await until(lambda: desk.ledger.trouble is None)
            await desk.ledger.settle()
            assert len(desk.kept_events()) == 1

    run(scene())


def test_trouble_is_logged_once_and_so_is_its_end(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            desk.refuse()
            desk.ledger.post(events=[an_event()])
            for _ in range(3):
                with pytest.raises(TowerError):
                    await desk.ledger.settle()
            desk.relent()
            await until(lambda: desk.ledger.trouble is None)

    with caplog.at_level(logging.WARNING):
        run(scene())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_events_are_published_in_the_order_of_their_ids(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:

            async def commit_some(first: int) -> None:
                for number in range(20):
                    one = an_account(id=account_id(first + number), name=f"n{first + number}")
                    await desk.ledger.commit(lambda registry, one=one: registry.insert(one, [an_event()]))
                    desk.ledger.post(events=[an_event(), an_event()])

            await asyncio.gather(*(commit_some(first) for first in (100, 200, 300)))
            await desk.ledger.settle()
            await until(lambda: len(desk.published) == 180)
            found = [one.id for one in desk.published]
            assert found == sorted(found)
            assert found == [one.id for one in await desk.ledger.read(lambda r: r.events(EventQuery()))]

    run(scene())


def test_events_that_wait_too_long_are_lost_from_the_oldest_with_a_word(
    database: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ledger_module, "_MAX_UNWRITTEN_EVENTS", 3)

    async def scene() -> None:
        async with a_desk(database) as desk:
            desk.refuse()
            desk.ledger.post(events=[an_event(number) for number in range(5)])
            with pytest.raises(TowerError):
                await desk.ledger.settle()
            desk.relent()
            await until(lambda: desk.published)
            assert [one.data["number"] for one in desk.published] == [2, 3, 4]

    run(scene())
    assert "2 events are lost" in caplog.text


def test_forgotten_account_is_not_written_but_its_events_are(database: Path) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            for number in (1, 2):
                one = an_account(id=account_id(number), name=f"n{number}")
                await desk.ledger.commit(lambda registry, one=one: registry.insert(one))
            desk.refuse()
            for number in (1, 2):
                desk.ledger.post(
                    a_linked_account(id=account_id(number), name=f"n{number}"),
                    transition=a_transition(account_id=account_id(number)),
                    events=[an_event(number)],
                )
            with pytest.raises(TowerError):
                await desk.ledger.settle()
            desk.ledger.forget(account_id(1))
            desk.relent()
            await until(lambda: desk.ledger.trouble is None)
            states = {one.id: one.state for one in await desk.ledger.read(lambda r: r.accounts())}
            assert states == {account_id(1): State.UNPAIRED, account_id(2): State.CONNECTED}
            histories = [
                len(await desk.ledger.read(lambda r, number=number: r.history(account_id(number), 9)))
                for number in (1, 2)
            ]
            assert histories == [1, 2]
            assert len(desk.kept_events()) == 2

    run(scene())


def test_close_writes_what_is_left(database: Path) -> None:
    async def scene() -> Desk:
        desk = Desk(database)
        await desk.ledger.open()
        desk.ledger.post(events=[an_event(number) for number in range(5)])
        await desk.ledger.close()
        return desk

    assert len(run(scene()).kept_events()) == 5


def test_close_on_a_full_disk_ends_all_the_same(database: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with a_desk(database) as desk:
            desk.refuse()
            desk.ledger.post(events=[an_event()])

    run(scene())
    assert "unwritten changes" in caplog.text


def test_every_query_runs_on_one_thread_that_is_not_the_loops(database: Path) -> None:
    async def scene() -> set[int]:
        async with a_desk(database) as desk:
            seen = await asyncio.gather(
                *(desk.ledger.read(lambda _: threading.get_ident()) for _ in range(9))
            )
            return set(seen)

    threads = run(scene())
    assert len(threads) == 1
    assert threads != {threading.get_ident()}

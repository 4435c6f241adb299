"""Counts of the day: read once, counted once, and those of whatever day the clock says it is."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec

from tests.unit.towerd.accounts.test_registry import a_linked_account
from tests.unit.towerd.waiting import run, turns
from towerd.accounts.records import TrafficRecord
from towerd.config import Config, MessagesConfig
from towerd.supervision.tally import Tally


class Clock:
    """Says what the test sets."""

    def __init__(self) -> None:
        self.moment = "2027-03-27T12:00:00+01:00"

    def now(self) -> float:
        return datetime.fromisoformat(self.moment).timestamp()


class Ledger:
    """Has the counts of days; a read takes until it is let."""

    def __init__(self) -> None:
        self.days: dict[str, tuple[int, int]] = {}
        self.reads = 0
        self.let = asyncio.Event()
        self.let.set()

    async def read(self, query: Any) -> Any:
        self.reads += 1
        found = query(self)
        await self.let.wait()
        return found

    def traffic(self, account_id: str, day: str) -> TrafficRecord:
        sent, received = self.days.get(day, (0, 0))
        return TrafficRecord(account_id=account_id, day=day, sent=sent, received=received)


class Account:
    """Whose messages they are."""

    record = a_linked_account()

    def changed(self) -> None:
        """Nobody watches."""


def a_tally() -> tuple[Tally, Clock, Ledger]:
    clock, ledger = Clock(), Ledger()
    config = msgspec.structs.replace(Config(), messages=MessagesConfig(zone="Europe/Berlin"))
    around = type("Around", (), {"clock": clock, "ledger": ledger, "config": config})()
    return Tally(Account(), around), clock, ledger  # type: ignore[arg-type]


def test_each_day_has_its_own_counts_however_the_clock_is_set() -> None:
    async def scene() -> None:
        tally, clock, ledger = a_tally()
        ledger.days = {"2027-03-27": (5, 7), "2027-03-28": (1, 0)}
        seen = []
        for moment in (
            *("2027-03-27T23:59:59+01:00", "2027-03-28T00:00:00+01:00", "2027-03-28T23:59:59+02:00"),
            *("2027-03-29T00:00:00+02:00", "2027-03-27T12:00:00+01:00", "2020-01-01T00:00:00+01:00"),
        ):
            clock.moment = moment
            await tally.look()
            seen.append((tally.day, tally.sent, tally.received))
        assert seen == [
            ("2027-03-27", 5, 7),
            ("2027-03-28", 1, 0),
            ("2027-03-28", 1, 0),
            ("2027-03-29", 0, 0),
            ("2027-03-27", 5, 7),
            ("2020-01-01", 0, 0),
        ]

    run(scene())


def test_until_it_was_looked_at_a_new_day_has_nothing() -> None:
    async def scene() -> None:
        tally, clock, ledger = a_tally()
        ledger.days = {"2027-03-27": (5, 7)}
        await tally.look()
        clock.moment = "2027-03-28T00:00:00+01:00"
        assert (tally.sent, tally.received) == (0, 0)
        # Of another day than that at hand: it is in the database, and is read with that.
        tally.count("2027-03-28", sent=1)
        assert tally.sent == 0

    run(scene())


def test_two_that_look_at_once_read_once_and_lose_no_count() -> None:
    async def scene() -> None:
        tally, _, ledger = a_tally()
        ledger.let.clear()
        looks = [asyncio.create_task(tally.look()) for _ in range(2)]
        await turns()
        ledger.let.set()
        await looks[0]
        tally.count("2027-03-27", sent=1)
        await looks[1]
        assert (ledger.reads, tally.sent) == (1, 1)

    run(scene())

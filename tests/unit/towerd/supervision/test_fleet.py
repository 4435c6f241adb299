"""The breaker over all accounts, on a clock of its own."""

from __future__ import annotations

from typing import Any

from tests.unit.towerd.builders import FakeClock, settings_of
from tests.unit.towerd.waiting import run, until
from towerd.config import FleetConfig
from towerd.supervision.fleet import Fleet


class Ledger:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def post(self, *, events: Any) -> None:
        self.events += [event.type for event in events]


class Breaker:
    """A breaker with what it said and whom it let go."""

    def __init__(self, **config: Any) -> None:
        self.clock = FakeClock()
        self.ledger = Ledger()
        self.released: list[str] = []
        ledger: Any = self.ledger
        settings = settings_of(fleet=FleetConfig(**({"release_seconds": 0} | config)))
        self.fleet = Fleet(settings, clock=self.clock, ledger=ledger)

    def hold(self, account_id: str, *, can_test: bool = True) -> None:
        self.fleet.hold(account_id, lambda: self.released.append(account_id), can_test=can_test)

    def wave(self, *account_ids: str) -> None:
        for account_id in account_ids:
            self.fleet.report_unlinked(account_id)


def test_closed_it_admits_everybody() -> None:
    assert Breaker().fleet.admits("a")


def test_the_first_outdated_account_is_the_canary_and_the_others_hold() -> None:
    breaker = Breaker()
    assert breaker.fleet.report_outdated("a")
    assert not breaker.fleet.report_outdated("b")
    assert (breaker.fleet.admits("a"), breaker.fleet.admits("b")) == (True, False)
    assert breaker.ledger.events == ["fleet.opened"]


def test_the_canary_that_gets_in_lets_all_go_on() -> None:
    breaker = Breaker()
    breaker.fleet.report_outdated("a")
    breaker.hold("b")
    breaker.hold("c")
    breaker.fleet.report_connected("b")
    assert breaker.released == []
    breaker.fleet.report_connected("a")
    assert breaker.released == ["b", "c"]
    assert breaker.ledger.events == ["fleet.opened", "fleet.closed"]
    assert breaker.fleet.admits("b")


def test_unlinks_far_apart_are_no_wave() -> None:
    breaker = Breaker(wave_accounts=3, wave_seconds=60)
    for account_id in ("a", "b", "c"):
        breaker.wave(account_id)
        breaker.clock.time += 31
    assert not breaker.fleet.is_open


def test_one_account_unlinked_again_and_again_is_no_wave() -> None:
    breaker = Breaker(wave_accounts=3)
    breaker.wave("a", "a", "a", "a")
    assert not breaker.fleet.is_open


def test_a_wave_is_tested_by_a_linked_account_only() -> None:
    async def scene() -> Breaker:
        breaker = Breaker(wave_accounts=3)
        breaker.wave("a", "b", "c")
        breaker.hold("a", can_test=False)
        assert breaker.fleet.canary is None
        breaker.hold("d")
        return breaker

    breaker = run(scene())
    assert breaker.fleet.canary == "d"
    assert breaker.released == ["d"]
    assert breaker.fleet.is_canary_at_risk("d")
    assert breaker.fleet.held == ["a"]


def test_a_wave_without_anybody_to_try_ends_by_itself() -> None:
    async def scene() -> Breaker:
        breaker = Breaker(wave_accounts=2, canary_seconds=0.01)
        breaker.wave("a", "b")
        breaker.hold("a", can_test=False)
        await until(lambda: not breaker.fleet.is_open)
        return breaker

    assert run(scene()).released == ["a"]


def test_a_canary_that_is_gone_is_followed_by_another() -> None:
    async def scene() -> Breaker:
        breaker = Breaker(canary_seconds=0.01)
        breaker.fleet.report_outdated("a")
        breaker.hold("b")
        breaker.hold("c")
        breaker.fleet.forget("a")
        assert breaker.fleet.canary == "b"
        await until(lambda: breaker.released)
        return breaker

    assert run(scene()).released == ["b"]


def test_with_the_last_account_gone_it_closes() -> None:
    breaker = Breaker()
    breaker.fleet.report_outdated("a")
    breaker.fleet.forget("a")
    assert not breaker.fleet.is_open


def test_tries_become_rarer_up_to_an_hour() -> None:
    breaker = Breaker(canary_seconds=300)
    delays = [breaker.fleet.next_try_seconds() for _ in range(8)]
    for delay, base in zip(delays, (300, 600, 1200, 2400, 3600, 3600, 3600, 3600), strict=True):
        assert 0.9 * base <= delay <= 1.1 * base


def test_closing_by_command_lets_all_go_on() -> None:
    breaker = Breaker()
    breaker.fleet.report_outdated("a")
    breaker.hold("b")
    breaker.fleet.close("released by command")
    assert breaker.released == ["b"]
    breaker.fleet.close("again")
    assert breaker.ledger.events == ["fleet.opened", "fleet.closed"]


def test_those_held_go_on_one_after_the_other() -> None:
    async def scene() -> list[str]:
        breaker = Breaker(release_seconds=0.02)
        breaker.fleet.report_outdated("a")
        for account_id in ("b", "c", "d", "e"):
            breaker.hold(account_id)
        breaker.fleet.close("by command")
        at_once = list(breaker.released)
        await until(lambda: len(breaker.released) == 4)
        return at_once

    assert len(run(scene())) < 4


def test_closing_by_command_lets_a_canary_go_on_that_was_about_to_try() -> None:
    async def scene() -> None:
        breaker = Breaker()
        breaker.fleet.report_outdated("a")
        breaker.hold("b")
        breaker.hold("c")
        breaker.fleet.forget("a")
        assert (breaker.fleet.canary, breaker.released) == ("b", [])
        breaker.fleet.close("by command", by_command=True)
        assert breaker.released == ["b", "c"]

    run(scene())


def test_closing_by_command_leaves_a_former_canary_alone() -> None:
    async def scene() -> None:
        breaker = Breaker()
        breaker.fleet.report_outdated("a")
        breaker.fleet.expect_canary(lambda: breaker.released.append("a"))
        breaker.hold("b")
        breaker.fleet.forget("a")
        breaker.fleet.close("by command", by_command=True)
        assert breaker.released == ["b"]

    run(scene())

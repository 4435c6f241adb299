"""Named timers: each name at most once, and nothing fires after it was stopped."""

from __future__ import annotations

from tests.unit.towerd.waiting import run, turns, until
from towerd.supervision.timers import Timers


def test_timer_fires_once_and_is_over_when_it_does() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        timers.start("x", 0.0, lambda: fired.append(timers.is_running("x")))
        assert timers.is_running("x")
        await until(lambda: fired)
        await turns()
        assert fired == [False]

    run(scene())


def test_second_start_replaces_the_first() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        timers.start("x", 0.0, lambda: fired.append("first"))
        timers.start("x", 0.01, lambda: fired.append("second"))
        await until(lambda: fired)
        await turns()
        assert fired == ["second"]

    run(scene())


def test_stopped_timers_do_not_fire_and_others_do() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        for name in "abc":
            timers.start(name, 0.0, lambda name=name: fired.append(name))
        timers.stop("a", "b", "never started")
        assert [timers.is_running(name) for name in "abc"] == [False, False, True]
        await until(lambda: fired)
        await turns()
        assert fired == ["c"]

    run(scene())


def test_clear_stops_all() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        for name in "abc":
            timers.start(name, 0.0, lambda: fired.append(1))
        timers.clear()
        await turns()
        assert fired == []

    run(scene())


def test_timer_may_start_itself_again() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []

        def again() -> None:
            fired.append(1)
            if len(fired) < 3:
                timers.start("x", 0.0, again)

        timers.start("x", 0.0, again)
        await until(lambda: len(fired) == 3)
        assert not timers.is_running("x")

    run(scene())


def test_time_that_is_over_already_fires_at_once() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        timers.start("x", -5.0, lambda: fired.append(1))
        await until(lambda: fired)

    run(scene())


def test_timer_in_a_hurry_fires_at_once_and_no_more() -> None:
    async def scene() -> None:
        timers, fired = Timers(), []
        timers.start("x", 0.01, lambda: fired.append("x"))
        timers.start("y", 0.02, lambda: fired.append("y"))
        timers.hurry("x")
        assert (fired, timers.is_running("x")) == (["x"], False)
        timers.hurry("x")
        await until(lambda: "y" in fired)
        assert fired == ["x", "y"]

    run(scene())

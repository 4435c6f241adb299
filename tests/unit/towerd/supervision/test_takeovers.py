"""Takeovers are bounded within a time, and the time goes by the monotonic clock."""

from __future__ import annotations

from tests.unit.towerd.builders import FakeClock, settings_of
from towerd.config import WorkersConfig
from towerd.supervision.takeovers import Takeovers


def takeovers(clock: FakeClock) -> Takeovers:
    return Takeovers(settings_of(workers=WorkersConfig(takeovers=3, takeover_seconds=600.0)), clock)


def test_one_too_many_is_refused_and_the_count_begins_anew() -> None:
    counted = takeovers(FakeClock())
    assert [counted.begin() for _ in range(5)] == [True, True, True, False, True]


def test_those_of_long_ago_do_not_count() -> None:
    clock = FakeClock()
    counted = takeovers(clock)
    for _ in range(10):
        assert counted.begin()
        clock.time += 301.0

"""When the next try comes: doubling, capped, with jitter, slow after many, anew after a stable stretch."""

from __future__ import annotations

import random

import msgspec
import pytest

from tests.unit.towerd.builders import settings_of
from towerd.config import Config, ReconnectConfig
from towerd.config_files import Reading
from towerd.supervision.backoff import Backoff

STEADY = ReconnectConfig(jitter=0.0, critical_after=100)


def backoff_of(config: ReconnectConfig, *more: random.Random) -> Backoff:
    return Backoff(settings_of(reconnect=config), *more)


def delays(backoff: Backoff, count: int) -> list[float]:
    return [backoff.next_delay_seconds() for _ in range(count)]


def test_delays_double_up_to_the_cap() -> None:
    assert delays(backoff_of(STEADY), 8) == [1, 2, 4, 8, 16, 30, 30, 30]


def test_schedule_follows_the_configuration() -> None:
    config = msgspec.structs.replace(STEADY, base_seconds=0.5, cap_seconds=3.0)
    assert delays(backoff_of(config), 5) == [0.5, 1, 2, 3, 3]


def test_tries_become_slow_and_never_end() -> None:
    backoff = backoff_of(msgspec.structs.replace(STEADY, critical_after=3, slow_seconds=300.0))
    assert delays(backoff, 3) == [1, 2, 4]
    assert not backoff.is_slow
    assert set(delays(backoff, 5000)) == {300.0}
    assert backoff.is_slow


def test_defaults_are_slow_after_five() -> None:
    backoff = backoff_of(msgspec.structs.replace(ReconnectConfig(), jitter=0.0))
    assert delays(backoff, 7) == [1, 2, 4, 8, 16, 300, 300]


def test_stable_stretch_begins_the_schedule_again() -> None:
    backoff = backoff_of(msgspec.structs.replace(STEADY, critical_after=3))
    delays(backoff, 9)
    backoff.reset()
    assert not backoff.is_slow
    assert delays(backoff, 2) == [1, 2]


@pytest.mark.parametrize("jitter", [0.1, 0.2, 0.9])
def test_jitter_stays_in_its_bounds_and_uses_them(jitter: float) -> None:
    config = ReconnectConfig(jitter=jitter, base_seconds=10.0, cap_seconds=10.0, critical_after=10_000)
    found = delays(backoff_of(config, random.Random(7)), 2000)
    assert all(10 * (1 - jitter) <= delay <= 10 * (1 + jitter) for delay in found)
    assert min(found) < 10 * (1 - 0.9 * jitter)
    assert max(found) > 10 * (1 + 0.9 * jitter)


def test_two_accounts_do_not_try_at_the_same_moments() -> None:
    config = ReconnectConfig(critical_after=100)
    assert delays(backoff_of(config, random.Random(1)), 9) != delays(backoff_of(config, random.Random(2)), 9)


def test_thousandth_failure_is_no_overflow() -> None:
    assert delays(backoff_of(msgspec.structs.replace(STEADY, critical_after=100_000)), 2000)[-1] == 30


def test_what_a_reload_changes_is_so_at_the_next_failure() -> None:
    settings = settings_of(reconnect=STEADY)
    backoff = Backoff(settings)
    assert delays(backoff, 2) == [1, 2]
    slower = msgspec.structs.replace(STEADY, base_seconds=2.0, cap_seconds=9.0)
    settings.take(Reading(config=Config(reconnect=slower), sources={}))
    assert delays(backoff, 2) == [8, 9]

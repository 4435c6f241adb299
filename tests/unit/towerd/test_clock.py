"""How times are written and read."""

from __future__ import annotations

import time

import pytest

from towerd.clock import SystemClock, parse_rfc3339, rfc3339, rfc3339_or_none


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_790_000_000.0, "2026-09-21T14:13:20.000Z"),
        (1_790_000_000.5, "2026-09-21T14:13:20.500Z"),
        (1_790_000_000.0014, "2026-09-21T14:13:20.001Z"),
    ],
)
def test_time_is_written_in_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


def test_no_time_stays_no_time() -> None:
    assert rfc3339_or_none(None) is None
    assert rfc3339_or_none(0.0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-09-21T14:13:20Z", 1_790_000_000.0),
        ("2026-09-21T14:13:20.500Z", 1_790_000_000.5),
        ("2026-09-21T16:13:20+02:00", 1_790_000_000.0),
    ],
)
def test_time_with_a_zone_is_read(text: str, seconds: float) -> None:
    assert parse_rfc3339(text) == seconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-09-21T14:13:20", "2026-13-01T00:00:00Z", "12"])
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_rfc3339(text)


def test_written_time_is_read_back() -> None:
    assert parse_rfc3339(rfc3339(1_790_000_000.123)) == pytest.approx(1_790_000_000.123, abs=0.001)


def test_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    assert clock.monotonic() <= clock.monotonic()

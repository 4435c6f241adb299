"""How times are written and read."""

from __future__ import annotations

import time

import pytest

from towerd.clock import SystemClock, day_of, parse_rfc3339, rfc3339, rfc3339_or_none


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


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Europe/Berlin", "2026-11-21T22:59:59.999Z", "2026-11-21"),
        ("Europe/Berlin", "2026-11-21T23:00:00Z", "2026-11-22"),
        # The day on which clocks go forward has 23 hours, that on which they go back 25.
        ("Europe/Berlin", "2027-03-27T22:59:59Z", "2027-03-27"),
        ("Europe/Berlin", "2027-03-27T23:00:00Z", "2027-03-28"),
        ("Europe/Berlin", "2027-03-28T21:59:59Z", "2027-03-28"),
        ("Europe/Berlin", "2027-03-28T22:00:00Z", "2027-03-29"),
        ("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"),
        # Here midnight itself is skipped: the day begins at one o'clock.
        ("America/Santiago", "2026-09-06T03:59:59Z", "2026-09-05"),
        ("America/Santiago", "2026-09-06T04:00:00Z", "2026-09-06"),
        # Here it comes twice: the day before has an hour more.
        ("America/Santiago", "2026-04-05T03:30:00Z", "2026-04-04"),
        ("America/Santiago", "2026-04-05T04:00:00Z", "2026-04-05"),
        # Here a whole day was left out.
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-31"),
        ("Asia/Kolkata", "2026-11-21T18:30:00Z", "2026-11-22"),
        ("UTC", "2026-11-21T23:59:59Z", "2026-11-21"),
    ],
)
def test_a_day_ends_at_midnight_of_its_zone(zone: str, moment: str, day: str) -> None:
    assert day_of(parse_rfc3339(moment), zone) == day


def test_without_a_zone_the_machines_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, day in (("Asia/Kolkata", "2026-11-22"), ("UTC", "2026-11-21")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert day_of(parse_rfc3339("2026-11-21T18:30:00Z"), "") == day
    monkeypatch.undo()
    time.tzset()


def test_written_time_is_read_back() -> None:
    assert parse_rfc3339(rfc3339(1_790_000_000.123)) == pytest.approx(1_790_000_000.123, abs=0.001)


def test_system_clock_is_the_machines() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5
    assert clock.monotonic() <= clock.monotonic()

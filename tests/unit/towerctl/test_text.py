"""Ages, times, lengths and columns."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from towerctl.text import age, columns_of, countdown, duration, parse_since, seconds_until, size

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_columns_are_those_of_a_terminal() -> None:
    assert (columns_of("abc"), columns_of("\u4e2d\u6587"), columns_of("cafe"[:2] + "e\u0301")) == (3, 4, 3)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0s"), (0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (7200, "2h"), (864000, "10d")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_ages_and_sizes() -> None:
    assert age("2026-01-01T11:57:00.000Z", at=AT) == "3m"
    assert age("not a time", at=AT) == "-"
    assert (size(812_345), size(48_200_000)) == ("812 kB", "48.2 MB")


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("4711", 4711),
        ("0", 0),
        ("10m", "2026-01-01T11:50:00.000Z"),
        ("2h", "2026-01-01T10:00:00.000Z"),
        ("3d", "2025-12-29T12:00:00.000Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"),
        ("2026-01-01T02:00:00.5+02:00", "2026-01-01T00:00:00.500Z"),
    ],
)
def test_since_is_an_id_a_time_or_an_age(text: str, since: int | str) -> None:
    assert parse_since(text, at=AT) == since


@pytest.mark.parametrize(
    "text", ["", "m", "yesterday", "-5", "5y", "10 m", "\u0665", "99999999999d", "2026-13-01"]
)
def test_since_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError):
        parse_since(text, at=AT)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0:00"),
        (0, "0:00"),
        (0.1, "0:01"),
        (14, "0:14"),
        (185, "3:05"),
        (3599.5, "1:00:00"),
        (3723, "1:02:03"),
    ],
)
def test_countdowns(seconds: float, words: str) -> None:
    assert countdown(seconds) == words


def test_how_far_ahead_a_time_lies() -> None:
    assert seconds_until("2026-01-01T12:00:30.500Z", at=AT) == 30.5
    assert seconds_until("soon", at=AT) is None

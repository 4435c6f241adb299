"""Ages, times, lengths, columns of text.

The one rule: what is shown is made of plain values; nothing here knows the wire or the terminal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil


def columns_of(text: str) -> int:
    """Return how many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(one) or one in "\u200c\u200d\ufe0f" else 2 if east_asian_width(one) in "WF" else 1
        for one in text
    )


def parse_time(text: str) -> datetime:
    """Parse an RFC 3339 time; one without a zone is local time.

    Raises:
        ValueError: it is not one.
    """
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.astimezone()


def format_time(time: datetime) -> str:
    """Write a time as the wire has it: UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


def age(time: str, *, at: datetime) -> str:
    """Return how long ago a time of the wire was, as `3m`; `-` when it is not a time."""
    try:
        return duration((at - parse_time(time)).total_seconds())
    except ValueError:
        return "-"


def duration(seconds: float) -> str:
    """Write a length of time in its largest unit: 12s, 3m, 5h, 9d."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h"
    return f"{whole // 86400}d"


def countdown(seconds: float) -> str:
    """Write how long there is left to the second: 0:14, 3:05, 1:02:03."""
    # Rounded up: 0:00 is when it is over.
    whole = max(0, ceil(seconds))
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def seconds_until(time: str, *, at: datetime) -> float | None:
    """Return how far ahead a time of the wire lies; None when it is not a time."""
    try:
        return (parse_time(time) - at).total_seconds()
    except ValueError:
        return None


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_since(text: str, *, at: datetime) -> int | str:
    """Read what --since says: an event id, a time, or how long ago (`10m`, `2h`).

    Raises:
        ValueError: it is none of these.
    """
    number, unit = text[:-1], text[-1:]
    if text.isascii() and text.isdigit():
        return int(text)
    if unit in _UNITS and number.isascii() and number.isdigit():
        try:
            return format_time(at - timedelta(seconds=int(number) * _UNITS[unit]))
        except OverflowError:
            raise ValueError(text) from None
    return format_time(parse_time(text))


def size(count: int) -> str:
    """Write a number of bytes: 812 kB, 48.2 MB."""
    if count < 1_000_000:
        return f"{count // 1000} kB"
    return f"{count / 1e6:.1f} MB"

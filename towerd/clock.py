"""Time as the daemon knows it: wall clock for what is shown and kept, monotonic for deadlines.

The one rule: logic is handed a `Clock`; nobody else asks the machine for the time.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return time.monotonic()


@lru_cache(maxsize=16384)
def rfc3339(seconds: float) -> str:
    """Return seconds since the epoch as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def wall_time(monotonic: float, clock: Clock) -> str:
    """Return a moment of the monotonic clock as RFC 3339."""
    return rfc3339(clock.now() + monotonic - clock.monotonic())


def rfc3339_or_none(seconds: float | None) -> str | None:
    """Return the time, or None for None."""
    return None if seconds is None else rfc3339(seconds)


def day_of(seconds: float, zone: str) -> str:
    """Return the day that a moment falls on in a time zone, the machine's when `zone` is empty."""
    # Days begin with a minute, whatever the zone.
    return _day_of_minute(int(seconds // 60), zone, time.tzname)


@lru_cache(maxsize=64)
def _day_of_minute(minute: int, zone: str, _own: tuple[str, str]) -> str:
    return datetime.fromtimestamp(minute * 60, ZoneInfo(zone) if zone else None).date().isoformat()


def parse_rfc3339(text: str) -> float:
    """Return seconds since the epoch.

    Raises:
        ValueError: the text is not a time with a zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        msg = "the time has no zone"
        raise ValueError(msg)
    return moment.timestamp()

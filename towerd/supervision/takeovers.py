"""How often a session that somebody else replaced was taken back lately.

The one rule: so many times within so much time and no more; then a human decides who has the device.
"""

from __future__ import annotations

from collections import deque

from towerd.clock import Clock
from towerd.settings import Settings


class Takeovers:
    """Counts one account's takeovers.

    Args:
        settings: has how many there may be, and within which time.
        clock: measures that time.
    """

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._moments: deque[float] = deque()

    def begin(self) -> bool:
        """Count one more; return False when it were one too many, and begin to count anew."""
        limits, now = self._settings.current.workers, self._clock.monotonic()
        while self._moments and now - self._moments[0] > limits.takeover_seconds:
            self._moments.popleft()
        if len(self._moments) >= limits.takeovers:
            self._moments.clear()
            return False
        self._moments.append(now)
        return True

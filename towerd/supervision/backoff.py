"""How long to wait before the next try.

The one rule: the delay is min(base * 2^n, cap) with jitter, the counter begins again after a stable stretch,
and after so many failures the tries become slow and never end.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from towerd.config import ReconnectConfig
from towerd.settings import Settings

# Far above any cap, far below what a float can hold.
_LARGEST_EXPONENT = 64


@dataclass(slots=True)
class Backoff:
    """One account's schedule.

    Args:
        settings: has base, cap, jitter, and when the tries become slow.
        randomness: where jitter comes from.
    """

    settings: Settings
    randomness: random.Random = field(default_factory=random.Random)
    failures: int = 0

    @property
    def _config(self) -> ReconnectConfig:
        return self.settings.current.reconnect

    def next_delay_seconds(self) -> float:
        """Count a failure and return how long to wait before the next try."""
        exponent = min(self.failures, _LARGEST_EXPONENT)
        self.failures += 1
        if self.is_slow:
            return self._jittered(self._config.slow_seconds)
        return self._jittered(min(self._config.base_seconds * 2.0**exponent, self._config.cap_seconds))

    @property
    def is_slow(self) -> bool:
        """True once so many tries failed that a human should look."""
        return self.failures > self._config.critical_after

    def reset(self) -> None:
        """Begin again: the connection was stable."""
        self.failures = 0

    def _jittered(self, seconds: float) -> float:
        spread = self._config.jitter
        return seconds * self.randomness.uniform(1 - spread, 1 + spread)

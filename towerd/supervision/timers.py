"""The named timers of one account.

The one rule: a name runs at most once; starting it again replaces it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """Timers on the event loop, by name."""

    def __init__(self) -> None:
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def start(self, name: str, delay_seconds: float, call: Callable[[], object]) -> None:
        """Call a function later; a timer of the same name is replaced."""
        self.stop(name)

        def fire() -> None:
            self._handles.pop(name, None)
            call()

        self._handles[name] = asyncio.get_running_loop().call_later(max(0.0, delay_seconds), fire)

    def stop(self, *names: str) -> None:
        """Stop timers, whether they run or not."""
        for name in names:
            handle = self._handles.pop(name, None)
            if handle is not None:
                handle.cancel()

    def is_running(self, name: str) -> bool:
        """Tell whether a timer runs."""
        return name in self._handles

    def clear(self) -> None:
        """Stop all timers."""
        self.stop(*list(self._handles))

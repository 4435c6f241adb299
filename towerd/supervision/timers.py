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
        self._calls: dict[str, Callable[[], object]] = {}

    def start(self, name: str, delay_seconds: float, call: Callable[[], object]) -> None:
        """Call a function later; a timer of the same name is replaced."""
        self.stop(name)
        loop = asyncio.get_running_loop()
        self._calls[name] = call
        self._handles[name] = loop.call_later(max(0.0, delay_seconds), self.hurry, name)

    def hurry(self, name: str) -> None:
        """Let a timer run out now, if it runs."""
        call = self._calls.get(name)
        self.stop(name)
        if call is not None:
            call()

    def stop(self, *names: str) -> None:
        """Stop timers, whether they run or not."""
        for name in names:
            handle = self._handles.pop(name, None)
            if handle is not None:
                del self._calls[name]
                handle.cancel()

    def is_running(self, name: str) -> bool:
        """Tell whether a timer runs."""
        return name in self._handles

    def clear(self) -> None:
        """Stop all timers."""
        self.stop(*list(self._handles))

"""Letting a person see that something is waited for.

The one rule: nothing is shown where nobody looks; the screen says where that is.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from towerctl.output import Screen

_TICK_SECONDS = 1.0


class Progress:
    """A line on standard error that counts seconds; nothing where nobody looks."""

    def __init__(self, screen: Screen, text: str | None) -> None:
        self._screen = screen
        self._text = text
        self._since = time.monotonic()

    def __enter__(self) -> Progress:
        if self._text:
            self._screen.show_progress(f"{self._text} …")
        return self

    def __exit__(self, *_: object) -> None:
        if self._text:
            self._screen.end_progress()

    def tick(self) -> None:
        """Show how long it has been."""
        if self._text:
            self._screen.show_progress(f"{self._text} … {time.monotonic() - self._since:.0f} s")


class Patience:
    """Lets a person see that something takes longer than a second, whatever blocks meanwhile."""

    def __init__(self, progress: Progress) -> None:
        # Not at the top: few commands need a thread.
        import threading

        self._progress = progress
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self._progress.__exit__()

    def _tick(self) -> None:
        while not self._is_over.wait(_TICK_SECONDS):
            self._progress.tick()

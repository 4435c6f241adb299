"""Signals that end the process, for commands that have to clean up first.

The one rule: the first such signal raises, and the clean-up that follows is not disturbed by another.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from towerctl.exits import Signalled

if TYPE_CHECKING:
    from types import FrameType


@contextmanager
def ending_signals_raise() -> Iterator[None]:
    """Turn the first signal that would end the process into an exception; the clean-up is not disturbed.

    A signal that was ignored when the process began (nohup) stays so.
    """
    is_ending = False

    def end(number: int, _: FrameType | None) -> None:
        nonlocal is_ending
        if not is_ending:
            is_ending = True
            raise Signalled(number)

    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""The whole terminal for one live picture, and back again.

The one rule: on every way out, a signal or a failure included, the terminal is as it was found.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from towerctl.exits import Failure
from towerctl.output import is_terminal

if TYPE_CHECKING:
    from towerctl.output import Line, Screen, Table

# Alternate screen, no cursor; and the way back.
_ENTER = "\x1b[?1049h\x1b[?25l"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_CHUNK_BYTES = 1024


class Terminal:
    """A terminal that shows nothing but one picture.

    Args:
        screen: renders and writes.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._keyboard = sys.stdin.fileno() if is_terminal(sys.stdin) else None
        self._found: list[Any] | None = None
        self._signals, self._signalled = os.pipe()
        self._is_suspending = False

    @property
    def wake(self) -> list[int]:
        """Descriptors that have something to read when a key was pressed or the size has changed."""
        return [self._signals] if self._keyboard is None else [self._signals, self._keyboard]

    @contextmanager
    def shown(self) -> Iterator[Terminal]:
        """Take the terminal over as long as the block lasts."""
        os.set_blocking(self._signals, False)
        os.set_blocking(self._signalled, False)
        handlers = {
            # Without a handler no signal wakes anybody.
            signal.SIGWINCH: signal.signal(signal.SIGWINCH, lambda *_: None),
            signal.SIGTSTP: signal.signal(signal.SIGTSTP, self._note_suspension),
        }
        wakeup = signal.set_wakeup_fd(self._signalled, warn_on_full_buffer=False)
        try:
            self._enter()
            yield self
        finally:
            self._leave()
            signal.set_wakeup_fd(wakeup)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(self._signals)
            os.close(self._signalled)

    def draw(self, blocks: Sequence[Line | Table], size: tuple[int, int]) -> None:
        """Show blocks in place of the last picture; what does not fit is cut off.

        Raises:
            Failure: the terminal does not take it.
        """
        columns, rows = size
        # The last column stays free: erasing the rest of a line that is full would erase its end.
        lines = self._screen.picture(blocks, columns - 1)[:rows]
        # Overwritten line by line: a picture that is erased first flickers.
        self._screen.write("\x1b[H" + "\x1b[K\n".join(lines) + "\x1b[K\x1b[J")
        self._screen.flush()

    def keys(self) -> str:
        """Return what was typed, and let the person suspend the process."""
        with suppress(BlockingIOError):
            os.read(self._signals, _CHUNK_BYTES)
        if self._is_suspending:
            self._suspend()
        return self._typed()

    def _typed(self) -> str:
        if self._keyboard is None:
            return ""
        from select import select

        readable, _, _ = select([self._keyboard], [], [], 0)
        if not readable:
            return ""
        try:
            typed = os.read(self._keyboard, _CHUNK_BYTES)
        except OSError:
            typed = b""
        if not typed:
            self._keyboard = None  # nobody types there any more
        return typed.decode("ascii", "replace")

    def _note_suspension(self, *_: object) -> None:
        self._is_suspending = True

    def _suspend(self) -> None:
        self._is_suspending = False
        self._leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        # Here the shell has put it into the foreground again.
        signal.signal(signal.SIGTSTP, handler)
        self._enter()

    def _enter(self) -> None:
        if self._keyboard is not None:
            self._found = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard, termios.TCSANOW)
        self._screen.write(_ENTER)
        self._screen.flush()

    def _leave(self) -> None:
        with suppress(OSError, Failure):
            self._screen.write(_LEAVE)
            self._screen.flush()
        if self._found is not None and self._keyboard is not None:
            with suppress(termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSANOW, self._found)

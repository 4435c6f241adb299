"""Messages that have come in and that the daemon has not committed yet, on disk.

The one rule: a message is appended here before the daemon is told of it, and goes only after the daemon's
commit, so a kill of either loses nothing that was appended. A torn last line is the message that was being
written, and is dropped.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from sessions.incoming import Incoming

SPOOL_NAME = "incoming.spool"
MAX_BYTES = 64 * 1024 * 1024
"""Beyond this nothing is appended any more: the daemon has not been able to commit for a very long time."""


class SpooledMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message with its number, which rises within one worker's life."""

    number: int
    message: Incoming


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SpooledMessage)


class Spool:
    """The spool while a worker runs; any thread may append.

    Args:
        directory: the account's store directory.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / SPOOL_NAME
        self._lock = threading.Lock()
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # What an earlier worker left is the daemon's to take, which it does between two workers.
        left = read(directory)
        self._may_empty = not left
        self._last = left[-1].number if left else 0

    def append(self, message: Incoming) -> SpooledMessage:
        """Write a message down and return it with its number.

        Raises:
            OSError: the disk is full, or the spool is.
        """
        with self._lock:
            self._last += 1
            spooled = SpooledMessage(number=self._last, message=message)
            start = os.lseek(self._descriptor, 0, os.SEEK_END)
            line = _encoder.encode(spooled) + b"\n"
            if start + len(line) > MAX_BYTES:
                msg = "the spool is full"
                raise OSError(msg)
            try:
                _write_all(self._descriptor, line)
            except OSError:
                # Half a line would swallow the next one.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, start)
                raise
            return spooled

    def forget(self, number: int) -> None:
        """Drop messages up to a number, which the daemon has committed; space is freed when none is left."""
        with self._lock:
            if number >= self._last and self._may_empty:
                os.ftruncate(self._descriptor, 0)


def read(directory: Path) -> list[SpooledMessage]:
    """Return what a worker has left in its spool; no worker may be running.

    Raises:
        OSError: the spool cannot be read.
    """
    try:
        content = (directory / SPOOL_NAME).read_bytes()
    except FileNotFoundError:
        return []
    found = []
    for line in content.split(b"\n"):
        with contextlib.suppress(msgspec.DecodeError):
            found.append(_decoder.decode(line))
    return found


def clear(directory: Path) -> None:
    """Remove the spool: everything in it is committed.

    Raises:
        OSError: the file cannot be removed.
    """
    (directory / SPOOL_NAME).unlink(missing_ok=True)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

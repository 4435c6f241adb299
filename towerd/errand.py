"""A program of somebody else's, run once: given a text, watched by the clock, and ended with all it started.

The one rule: whatever the program does, its caller is told within the deadline, and the daemon waits for
nothing. It has a thread to itself, reads and writes memory only, and is killed as a group.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence

from sessions.redactor import redact
from towerd.thread import on_own_thread

_SAID_BYTES = 4096
_SHOWN_CHARACTERS = 200


class ErrandFailedError(Exception):
    """The program did not do it; the message says in a few words why."""


class Errand:
    """One run of a program.

    Args:
        command: the program, by its path, and its arguments.
        text: what stands on its standard input.
        environment: its variables, all of them.
        deadline_seconds: after this it is killed, with its process group.
    """

    def __init__(
        self, command: Sequence[str], *, text: bytes, environment: Mapping[str, str], deadline_seconds: float
    ) -> None:
        self._command = command
        self._text = text
        self._environment = environment
        self._deadline_seconds = deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False

    async def run(self) -> None:
        """Run it to its end.

        Raises:
            ErrandFailedError: it cannot be started, fails, or does not end in time.
        """
        try:
            await on_own_thread(self._run, name="errand")
        finally:
            self._is_over = True
            self._kill()

    def _run(self) -> None:
        with _memory_file(self._text) as stdin, _memory_file() as stderr:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=stdin,
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=dict(self._environment),
                    cwd="/",
                    # A process group of its own, which can be killed whole.
                    start_new_session=True,
                )
            except OSError as error:
                msg = f"cannot be started: {error.strerror}"
                raise ErrandFailedError(msg) from error
            if self._is_over:
                # Nobody waits any more; whoever gave up saw no process to kill yet.
                self._kill()
            try:
                status = self._process.wait(self._deadline_seconds)
            except subprocess.TimeoutExpired:
                self._kill()
                self._process.wait()
                msg = f"did not end within {self._deadline_seconds:g} s"
                raise ErrandFailedError(msg) from None
            if status != 0:
                raise ErrandFailedError(_ending(status) + _last_words(os.pread(stderr, _SAID_BYTES, 0)))

    def _kill(self) -> None:
        """Kill the group, unless its leader is gone: what an orderly end left behind is wanted."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)


@contextlib.contextmanager
def _memory_file(content: bytes = b"") -> Iterator[int]:
    """Open a file in memory: a pipe waits for its reader, and a file on a full disk cannot be written."""
    descriptor = os.memfd_create("errand")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _ending(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was killed by signal {-status}"


def _last_words(said: bytes) -> str:
    """Return the last line that a program wrote, fit to be shown."""
    lines = [line.strip() for line in redact(said.decode("utf-8", "replace")).splitlines() if line.strip()]
    if not lines:
        return ""
    return ": " + "".join(one if one.isprintable() else "?" for one in lines[-1])[:_SHOWN_CHARACTERS]

"""The seam behind which worker processes are started.

The one rule: whoever starts a worker hands back its pid, a pidfd that tells of its end, and the daemon's ends
of socketpair and output; how the process came to be is nobody else's business.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A started worker; whoever gets this owns the descriptors."""

    pid: int
    pidfd: int
    wire: socket.socket
    output: int
    process: subprocess.Popen[bytes]


class Spawner(Protocol):
    """Starts workers."""

    def spawn(self) -> Spawned:
        """Start a worker.

        Raises:
            OSError: the machine has no room for another process.
        """


class ExecSpawner:
    """Starts each worker as `python -m sessions.worker`."""

    def spawn(self) -> Spawned:
        """Start a worker.

        Raises:
            OSError: the machine has no room for another process.
        """
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                reader, writer = os.pipe()
                undo.callback(os.close, reader)
                try:
                    process = self._exec(theirs.fileno(), writer)
                finally:
                    os.close(writer)
            undo.callback(process.kill)
            pidfd = os.pidfd_open(process.pid)
            undo.pop_all()
        return Spawned(pid=process.pid, pidfd=pidfd, wire=ours, output=reader, process=process)

    def _exec(self, wire: int, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            # -P: a directory `sessions` where towerd happens to be started must not be taken for ours.
            [sys.executable, "-P", "-m", "sessions.worker", str(wire)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(wire,),
            # A session of its own: Ctrl-C at the daemon's terminal is not for workers.
            start_new_session=True,
        )

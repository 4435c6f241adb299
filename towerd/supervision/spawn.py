"""The seam behind which worker processes are started.

The one rule: whoever starts a worker hands back its pid, a pidfd that tells of its end, and the daemon's ends
of socketpair and output; how the process came to be is nobody else's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned:
    """A started worker; whoever gets this owns the descriptors.

    Args:
        pid: its number, for people.
        pidfd: names this very process; readable when it has ended.
        wire: the daemon's end of the socketpair.
        output: the end to read of what it writes to its standard output and error.
        status: how it ended, soon after that; None when nobody can say.
    """

    pid: int
    pidfd: int
    wire: socket.socket
    output: int
    status: asyncio.Future[int | None]

    def discard(self) -> None:
        """End it and let go of everything; nobody wants it any more."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        self.wire.close()
        os.close(self.output)
        os.close(self.pidfd)


class Spawner(Protocol):
    """Starts workers."""

    async def spawn(self) -> Spawned:
        """Start a worker.

        Raises:
            OSError: the machine has no room for another process.
        """

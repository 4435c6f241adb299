"""One daemon per state directory.

The one rule: the kernel holds the lock, the file only says who: a crash leaves nothing to clean up.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class StateHeldError(Exception):
    """Another daemon uses the state directory.

    Args:
        holder_pid: that daemon, when it is known.
    """

    def __init__(self, path: Path, holder_pid: int | None) -> None:
        who = f"towerd with pid {holder_pid}" if holder_pid else "another towerd"
        super().__init__(f"{path.parent} is in use by {who}; stop it first, or choose another --state-dir")
        self.holder_pid = holder_pid


def hold(path: Path) -> int:
    """Take the lock and return its descriptor, which holds it until this process ends.

    Raises:
        StateHeldError: another daemon has it.
        OSError: the file cannot be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        written = os.pread(descriptor, 32, 0).strip()
        os.close(descriptor)
        raise StateHeldError(path, int(written) if written.isdigit() else None) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    return descriptor

"""Memory: how much a process has, and how much a long-lived daemon gives back.

The one rule: it is a matter of figures only; where the C library does not offer it nothing else changes.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_M_ARENA_MAX = -8  # malloc.h


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process (proc(5) statm), None when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def share_one_arena() -> bool:
    """Let all threads allocate from one heap; tell whether the C library could be told.

    glibc gives every thread a heap of its own, and answers that the thread of the ledger reads are freed by
    the event loop: each heap keeps its largest moment for ever. With one heap, 100,000 requests of every kind
    leave the daemon at 45 MB instead of 75.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1))
    except AttributeError:  # musl
        return False

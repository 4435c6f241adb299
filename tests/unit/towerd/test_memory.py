"""One heap for all threads, where the C library lets itself be told."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

# Threads that all allocate at once; then the C library is asked how many heaps it keeps (malloc_info(3)).
SCRIPT = """
import ctypes, sys, threading
from towerd.memory import share_one_arena

if sys.argv[1] == "shared":
    assert share_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
together = threading.Barrier(4)

def allocate():
    together.wait()
    libc.malloc(100_000)

threads = [threading.Thread(target=allocate) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def heaps(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt(3)")
def test_threads_share_one_heap() -> None:
    assert heaps("as it is") > 1
    assert heaps("shared") == 1

"""What a sealed store costs for each message, against the same change committed to a plain file on a disk."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sessions.keys import Keys, StoreKey
from sessions.sealed_store import SealedStore
from sessions.store import DATABASE_NAME, SEALED_NAME
from tests.benchmarks.measure import Figure, median, spread
from tests.unit.sessions.stores import make_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SIZES_MB = (1, 10, 100)
SESSION_BYTES = 2000
"""A ratchet as whatsmeow keeps it; one message moves one of them."""
ACCOUNT_ID = "a-abcdefghij"


@dataclass(slots=True)
class Seen:
    """Milliseconds and bytes of each message, on a plain store and on a sealed one."""

    plain: list[float] = field(default_factory=list)
    plain_bytes: list[int] = field(default_factory=list)
    sealed: list[float] = field(default_factory=list)
    sealed_bytes: list[int] = field(default_factory=list)
    folding: list[float] = field(default_factory=list)


def fill(path: Path, size_mb: float) -> int:
    """Fill a store with sessions up to a size; return how many there are."""
    count = int(size_mb * 2**20 / (SESSION_BYTES * 1.05))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE sessions (their_id TEXT PRIMARY KEY, session BLOB)")
        rows = ((f"{number:012}.0:0", os.urandom(SESSION_BYTES)) for number in range(count))
        connection.executemany("INSERT INTO sessions VALUES (?, ?)", rows)
    return count


def message(connection: sqlite3.Connection, number: int) -> None:
    """Move a ratchet, as a message does."""
    with connection:
        row = (os.urandom(SESSION_BYTES), f"{number:012}.0:0")
        done = connection.execute("UPDATE sessions SET session = ? WHERE their_id = ?", row)
        assert done.rowcount == 1


def written_bytes() -> int:
    """Return what this process has handed to the kernel to write (proc(5), wchar)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("wchar"))


@contextlib.contextmanager
def two_stores(directory: Path, memory: Path, size_mb: float) -> Iterator[tuple[Path, SealedStore, int]]:
    """Yield the same store twice: plain on the disk, and sealed with its plain copy in memory."""
    sealed_root = directory / "sealed"
    sealed_root.mkdir()
    plain = make_store(directory / "plain", ACCOUNT_ID)
    count = fill(plain, size_mb)
    image = make_store(memory, "image")
    image.write_bytes(plain.read_bytes())
    keys = Keys(current=StoreKey(os.urandom(32)))
    store = SealedStore(memory, ACCOUNT_ID, sealed_root=sealed_root, keys=keys, least=lambda: 0)
    store.install(image)
    yield plain, store, count
    store.wipe()


def measure(size_mb: float, repetitions: int) -> Seen:
    """Take both in turns, so that a busy moment of the machine hits them alike."""
    seen, dice = Seen(), random.Random(size_mb)
    with (
        tempfile.TemporaryDirectory(prefix="tower-bench-") as directory,
        tempfile.TemporaryDirectory(prefix="tower-bench-", dir="/dev/shm") as memory,
        two_stores(Path(directory), Path(memory), size_mb) as (plain, store, count),
    ):
        file = Path(directory) / "sealed" / ACCOUNT_ID / SEALED_NAME
        for repetition in range(-2, repetitions):
            number = dice.randrange(count)
            took, written = plain_message(plain, number)
            before = file.stat().st_size
            sealing = sealed_message(store, number)
            appended = file.stat().st_size - before
            if repetition >= 0:  # the first are for the page cache
                seen.plain.append(took)
                seen.plain_bytes.append(written)
                seen.sealed.append(sealing)
                seen.sealed_bytes.append(appended)
        seen.folding.append(fold(store))
    return seen


def plain_message(path: Path, number: int) -> tuple[float, int]:
    """Commit a message to the plain store, with fsync; return milliseconds and bytes."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = full")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        written, began = written_bytes(), time.perf_counter()
        message(connection, number)
        return (time.perf_counter() - began) * 1000, written_bytes() - written


def sealed_message(store: SealedStore, number: int) -> float:
    """Commit a message to the copy in memory and seal it; return milliseconds."""
    with contextlib.closing(sqlite3.connect(store.directory / DATABASE_NAME)) as connection:
        connection.execute("PRAGMA synchronous = full")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        began = time.perf_counter()
        message(connection, number)
        took = time.perf_counter() - began
    # The connection is closed: a seal by this process would drop its locks.
    began = time.perf_counter()
    store.seal()
    return (took + time.perf_counter() - began) * 1000


def fold(store: SealedStore) -> float:
    """Write the sealed store anew, as happens when its log has outgrown it; return milliseconds."""
    began = time.perf_counter()
    with store._mutex:
        store._seal(anew=True)
    return (time.perf_counter() - began) * 1000


@pytest.mark.benchmark
@pytest.mark.timeout(600)
@pytest.mark.parametrize("size_mb", SIZES_MB)
def test_sealing(record: Callable[[Figure], Figure], size_mb: int) -> None:
    seen = measure(size_mb, repetitions=101)
    plain, sealed = median(seen.plain), median(seen.sealed)
    record(
        Figure(
            what=f"a message in a sealed store of {size_mb} MB, to one in a plain store",
            value=sealed / plain,
            unit="×",
            detail=f"{sealed:.1f} ms to {plain:.1f} ms; {spread(seen.sealed, 'ms')}",
        )
    )
    written, plainly = median(seen.sealed_bytes), median(seen.plain_bytes)
    record(
        Figure(
            what="bytes written for it, likewise",
            value=written / plainly,
            unit="×",
            detail=f"{written / 1024:.1f} KB to {plainly / 1024:.1f} KB",
        )
    )
    record(
        Figure(
            what=f"folding its log, once for each {max(1, size_mb)} MB of log",
            value=median(seen.folding),
            unit="ms",
        )
    )
    # It is the changed blocks that are written, however large the store is.
    assert written < 16 * 4096


def test_sealing_runs() -> None:
    seen = measure(size_mb=0.3, repetitions=3)
    assert all(value > 0 for value in (*seen.plain, *seen.sealed, *seen.folding))
    assert all(0 < value < 16 * 4096 for value in seen.sealed_bytes)

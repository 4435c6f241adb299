"""One account's store on disk: its directory, its lock, and what the file in it says.

The one rule: the store decides, not the last event. It is opened here only while no client runs on it, and
always read-write: after a kill the rollback journal is hot, and read-only opens then see no device.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from sessions import spool
from sessions.messages import Identity
from sessions.spool import SpooledMessage

DATABASE_NAME = "store.db"
SEALED_NAME = "store.sealed"
"""The sealed form, where there is a key; see `sealed_store.py`."""
HOLDER_PATIENCE_SECONDS = 5.0
"""How long a successor waits for the holder of the lock before it ends it."""

_BUSY_SECONDS = 5.0
# Above this the integrity check costs more than it tells; opening and reading the device row still happen.
_CHECKED_SIZE_BYTES = 32 * 1024 * 1024
# The smallest page of a SQLite file; SQLite takes a shorter one for an empty database.
_SMALLEST_SIZE_BYTES = 512
# Old stores write user.agent:device.
_ADDRESS = re.compile(r"(?P<user>[0-9]+)(?:\.[0-9]+)?(?::(?P<device>[0-9]+))?@(?P<server>[a-z.]+)")


class StoreKind(StrEnum):
    """What lies in a store directory."""

    MISSING = "missing"
    NO_DEVICE = "no-device"
    DEVICE = "device"
    DAMAGED = "damaged"
    LOCKED = "locked"
    WRONG_KEY = "wrong-key"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """What a look into the store found; `identity` is there when `kind` is DEVICE."""

    kind: StoreKind
    identity: Identity | None = None
    detail: str = ""


class StoreLockedError(Exception):
    """The store is held by a process that could not be ended.

    Args:
        holder_pid: that process, when it is known.
    """

    def __init__(self, holder_pid: int | None) -> None:
        super().__init__(f"held by process {holder_pid}" if holder_pid else "held by another process")
        self.holder_pid = holder_pid


class Store:
    """The store of one account.

    Args:
        root: directory of all stores, `sessions/` in the state directory.
        account_id: the immutable id; names never reach a path.
        locks: directory of the locks, when it is another one.

    Attributes:
        home: where in the state directory it belongs; its fence lies there.
    """

    def __init__(self, root: Path, account_id: str, *, locks: Path | None = None) -> None:
        self.root = root
        self.account_id = account_id
        self.directory = self.home = root / account_id
        self.database = self.directory / DATABASE_NAME
        self.lock_path = (locks or root) / f"{account_id}.lock"

    def ensure(self) -> None:
        """Create the directory when it is missing, 0700."""
        self.directory.mkdir(mode=0o700, exist_ok=True)

    def spooled(self) -> list[SpooledMessage]:
        """Return the messages that a worker has left; no worker may be running.

        Raises:
            OSError: the spool cannot be read.
        """
        return spool.read(self.directory)

    def clear_spool(self) -> None:
        """Remove the spool: everything in it is committed.

        Raises:
            OSError: the file cannot be removed.
        """
        spool.clear(self.directory)

    def renew(self) -> None:
        """Wipe the directory and create it empty: every pairing attempt gets a fresh one."""
        self.wipe()
        self.ensure()
        sync_directory(self.root)

    def wipe(self) -> None:
        """Remove the directory and the kept copy; after a crash in the middle, `sweep` finishes it."""
        # It holds the same keys: who forgets a device forgets them all.
        self._snapshot.unlink(missing_ok=True)
        self.wipe_directory()

    def wipe_directory(self) -> None:
        """Remove the directory alone."""
        if not self.directory.exists() and not self.directory.is_symlink():
            return
        doomed = self.root / f".{self.account_id}.wiped-{time.time_ns()}"
        self.directory.rename(doomed)
        sync_directory(self.root)
        delete(doomed)

    def snapshot(self) -> None:
        """Keep a copy of the store, made by SQLite itself; no client may be running on it.

        Raises:
            OSError: the copy could not be written.
            sqlite3.Error: likewise, or the store cannot be read.
        """
        copy_path = self._snapshot
        copy_path.unlink(missing_ok=True)
        with (
            self.lock(),
            contextlib.closing(sqlite3.connect(self.database, timeout=_BUSY_SECONDS)) as source,
            contextlib.closing(sqlite3.connect(copy_path)) as copy,
        ):
            copy_path.chmod(0o600)
            source.backup(copy)

    def restore(self) -> None:
        """Put the kept copy back; nothing happens without one.

        Raises:
            OSError: the files could not be moved.
        """
        if self._snapshot.exists():
            self.wipe_directory()
            self.ensure()
            self._snapshot.rename(self.database)
            sync_directory(self.directory)

    def take_out(self) -> None:
        """Have the store's file in its place; a plain store is."""

    def put_away(self) -> None:
        """Leave nothing plain in memory; a plain store lies on the disk."""

    @property
    def arrival(self) -> Path:
        """Where an image is written that is going to be installed; a start clears it."""
        return self.root / f".{self.account_id}.arriving"

    def install(self, image: Path) -> None:
        """Put another store in the place of this one; it is on the disk when this returns.

        What lies beside the store stays, its fence above all.

        Args:
            image: a file in the directory of all stores; it is moved.

        Raises:
            OSError: it could not be put there; in its place is the former store or the new one.
        """
        self.ensure()
        self.drop_snapshot()
        with image.open("rb") as file:
            os.fsync(file.fileno())
        for suffix in ("-journal", "-wal", "-shm"):
            self.database.with_name(f"{DATABASE_NAME}{suffix}").unlink(missing_ok=True)
        image.rename(self.database)
        sync_directory(self.directory)
        sync_directory(self.root)

    def drop_snapshot(self) -> None:
        """Delete the kept copy: it holds the keys of a device."""
        self._snapshot.unlink(missing_ok=True)

    @property
    def _snapshot(self) -> Path:
        return self.root / f".{self.account_id}.snapshot"

    def remove(self) -> None:
        """Remove the directory and the lock file: the account is gone."""
        self.wipe()
        self.lock_path.unlink(missing_ok=True)
        sync_directory(self.root)

    @contextlib.contextmanager
    def lock(
        self, *, patience_seconds: float = HOLDER_PATIENCE_SECONDS, killable: bool = False
    ) -> Iterator[None]:
        """Hold the store's lock.

        A holder that outlives its daemon is waited for, then ended.

        Args:
            patience_seconds: how long to wait before ending the holder.
            killable: record this process as one that a successor may end; for workers.

        Raises:
            StoreLockedError: the holder could not be ended.
        """
        descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _acquire(descriptor, patience_seconds):
                _end_holder(descriptor)
                if not _acquire(descriptor, 2.0):
                    raise StoreLockedError(_holder(descriptor))
            _record_holder(descriptor, killable=killable)
            yield
        finally:
            os.close(descriptor)

    def classify(self) -> StoreReport:
        """Say what the store holds; no client may be running on it.

        Raises:
            StoreLockedError: a process that could not be ended runs on it.
        """
        with self.lock():
            return self._look()

    def _absence(self) -> StoreReport:
        if (self.directory / SEALED_NAME).exists():
            return StoreReport(kind=StoreKind.WRONG_KEY, detail="it is sealed, and towerd was given no key")
        return StoreReport(kind=StoreKind.MISSING, detail="the store file is missing")

    def peek(self) -> StoreReport | None:
        """Say what the store holds, None when somebody uses it; nobody is waited for, let alone ended."""
        try:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return self._look()
        try:
            if not _acquire(descriptor, 0.0):
                return None
            _record_holder(descriptor, killable=False)
            return self._look()
        finally:
            os.close(descriptor)

    def _look(self) -> StoreReport:
        if not self.directory.exists():
            return StoreReport(kind=StoreKind.MISSING, detail="the directory is missing")
        try:
            if not self.database.exists():
                return self._absence()
            if not self.database.is_file():
                return StoreReport(kind=StoreKind.DAMAGED, detail="the store is not a file")
            # SQLite would quietly open it read-only, and a hot journal then hides the device.
            with self.database.open("r+b"):
                size_bytes = self.database.stat().st_size
        except OSError as error:
            return StoreReport(kind=StoreKind.DAMAGED, detail=f"unreadable: {error.strerror}")
        if size_bytes == 0:
            return StoreReport(kind=StoreKind.MISSING, detail="the store file is empty")
        if size_bytes < _SMALLEST_SIZE_BYTES:
            return StoreReport(kind=StoreKind.DAMAGED, detail="the store file is cut off")
        try:
            with contextlib.closing(sqlite3.connect(self.database, timeout=_BUSY_SECONDS)) as connection:
                return _read_device(connection, check=size_bytes <= _CHECKED_SIZE_BYTES)
        except sqlite3.Error as error:
            if "locked" in str(error):
                return StoreReport(kind=StoreKind.LOCKED, detail="another program has locked the store")
            return StoreReport(kind=StoreKind.DAMAGED, detail=str(error))
        except ValueError as error:
            return StoreReport(kind=StoreKind.DAMAGED, detail=f"the device row cannot be read: {error}")


def sweep(root: Path) -> None:
    """Finish wipes that a crash interrupted, and drop what was not yet in its place when it came."""
    for pattern in (".*.wiped-*", ".*.unsealing", ".*.arriving"):
        for doomed in root.glob(pattern):
            delete(doomed)


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone; for `open(…, opener=private)`."""
    return os.open(path, flags, 0o600)


def delete(doomed: Path) -> None:
    """Delete a directory with all in it, or a file, if it is there."""
    if doomed.is_dir() and not doomed.is_symlink():
        shutil.rmtree(doomed)
    else:
        doomed.unlink(missing_ok=True)


def _read_device(connection: sqlite3.Connection, *, check: bool) -> StoreReport:
    if check:
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            return StoreReport(kind=StoreKind.DAMAGED, detail=f"integrity check: {verdict}")
    known = connection.execute(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'whatsmeow_device'"
    ).fetchone()[0]
    if not known:
        return StoreReport(kind=StoreKind.NO_DEVICE, detail="no device table yet")
    row = connection.execute(
        "SELECT jid, lid, push_name, business_name, platform FROM whatsmeow_device LIMIT 1"
    ).fetchone()
    if row is None:
        return StoreReport(kind=StoreKind.NO_DEVICE, detail="no device row")
    jid, lid, push_name, business_name, platform = row
    address, device_number = split_device(str(jid))
    return StoreReport(
        kind=StoreKind.DEVICE,
        identity=Identity(
            jid=address,
            device_number=device_number,
            lid=split_device(str(lid))[0] if lid else None,
            push_name=push_name or None,
            business_name=business_name or None,
            platform=platform or None,
        ),
    )


def split_device(address: str) -> tuple[str, int]:
    """Split `user:device@server` into `user@server` and the device number (0 without one).

    Raises:
        ValueError: it is not such an address.
    """
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        msg = "not an address"
        raise ValueError(msg)
    return f"{parts['user']}@{parts['server']}", int(parts["device"] or 0)


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, patience_seconds: float) -> bool:
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _record_holder(descriptor: int, *, killable: bool) -> None:
    record = {"pid": os.getpid(), "start_time": process_start_time(os.getpid()), "killable": killable}
    # Over what stands there: on a full disk that needs no room.
    written = os.pwrite(descriptor, json.dumps(record).encode(), 0)
    os.ftruncate(descriptor, written)


def _holder(descriptor: int) -> int | None:
    """Return the recorded holder's pid when that very process still lives."""
    try:
        record = json.loads(os.pread(descriptor, 4096, 0))
        pid, started = int(record["pid"]), int(record["start_time"])
    except (ValueError, KeyError, TypeError):
        return None
    # 0 and below would be whole groups of processes to kill(2).
    return pid if pid > 0 and process_start_time(pid) == started else None


def _end_holder(descriptor: int) -> None:
    pid = _holder(descriptor)
    if pid is None or not json.loads(os.pread(descriptor, 4096, 0)).get("killable"):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def process_start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (field 22 of proc(5) stat), None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])

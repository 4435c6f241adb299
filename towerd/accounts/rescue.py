"""Keeps the account database safe: a checked backup at each start, and what to do when it is damaged.

The one rule: nothing is thrown away. A damaged database is set aside under a name that says when; it is
replaced from the backup, or rebuilt from the stores, and the start says so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path

from towerd.accounts.transactions import RegistryError

_BUSY_SECONDS = 5.0
_SMALLEST_SIZE_BYTES = 512
_SUFFIXES = ("", "-wal", "-shm", "-journal")


def backup_path(path: Path) -> Path:
    """Return where the backup of a database lies."""
    return path.with_name(path.name + ".backup")


def is_sound(path: Path) -> bool:
    """Tell whether a file is a database that passes SQLite's check.

    Raises:
        RegistryError: it cannot be looked into (locked, not permitted), which says nothing about it.
    """
    # SQLite takes a file of fewer bytes than its smallest page for an empty database.
    if path.is_file() and path.stat().st_size < _SMALLEST_SIZE_BYTES:
        return False
    # Read-only beside a log, which closing would else fold into a file that may be damaged.
    mode = "ro" if _beside(path, "-wal").exists() else "rw"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.OperationalError as error:
        msg = f"{path.name}: {error}"
        raise RegistryError(msg) from error
    except sqlite3.DatabaseError:
        return False


def take_backup(path: Path) -> None:
    """Replace the backup by a checked copy of the database.

    Raises:
        OSError: the copy could not be written; the old backup is still there.
        sqlite3.Error: likewise.
    """
    target = backup_path(path)
    draft = target.with_name(target.name + ".new")
    draft.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as source,
            contextlib.closing(sqlite3.connect(draft)) as copy,
        ):
            source.backup(copy)
            # A copy keeps the source's mode; on its own a backup needs no side files.
            copy.execute("PRAGMA journal_mode = delete")
        if not is_sound(draft):
            msg = "the copy does not pass SQLite's check"
            raise sqlite3.DatabaseError(msg)
        _put(draft, target)
    except RegistryError as error:
        raise sqlite3.DatabaseError(str(error)) from error
    finally:
        draft.unlink(missing_ok=True)


def repair(path: Path) -> str | None:
    """Put a sound database, or none at all, where a damaged one lies.

    Returns:
        None when nothing was wrong, else one sentence that says what was done. Where no database is left,
        the caller rebuilds the accounts from the stores.

    Raises:
        OSError: the files could not be moved.
        RegistryError: the database cannot be looked into; nothing was done.
    """
    backup = backup_path(path)
    has_backup = backup.exists()
    if path.exists():
        is_unborn = path.is_file() and path.stat().st_size == 0 and not has_backup
        if is_unborn or is_sound(path):
            return None
    elif not has_backup:
        return None
    was_missing = not path.exists()
    # Before anything is moved: a backup that cannot be looked into is no reason to be without both.
    is_backed_up = has_backup and is_sound(backup)
    # The log too, or SQLite would play it into the backup.
    aside = _set_aside(path)
    words = "was missing" if was_missing else f"was damaged (kept as {aside.name})"
    if is_backed_up:
        draft = path.with_name(path.name + ".new")
        shutil.copyfile(backup, draft)
        _put(draft, path)
        return f"{path.name} {words} and was replaced from the backup of the last start"
    return f"{path.name} {words} and was rebuilt from the stores"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _set_aside(path: Path) -> Path:
    """Rename a database with its side files to a name that is free; return what it is called now."""
    stem = aside = _beside(path, f".damaged-{int(time.time())}")
    count = 1
    while any(_beside(aside, suffix).exists() for suffix in _SUFFIXES):
        count += 1
        aside = _beside(stem, f"-{count}")
    for suffix in _SUFFIXES:
        piece = _beside(path, suffix)
        if piece.exists():
            piece.rename(_beside(aside, suffix))
    return aside


def _put(draft: Path, target: Path) -> None:
    """Rename a file that is complete, and on the disk, into its place."""
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)

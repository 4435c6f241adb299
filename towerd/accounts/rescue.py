"""Keeps the account database safe: a checked backup at each start, and what to do when it is damaged.

The one rule: nothing is thrown away. A damaged database is set aside under a name that says when; it is
replaced from the backup, or rebuilt from the stores, and the start says so.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from pathlib import Path

log = logging.getLogger(__name__)


def backup_path(path: Path) -> Path:
    """Return where the backup of a database lies."""
    return path.with_name(path.name + ".backup")


def is_sound(path: Path) -> bool:
    """Tell whether a file is a database that passes SQLite's check."""
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except (sqlite3.Error, OSError):
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
    with (
        contextlib.closing(sqlite3.connect(path, timeout=5)) as source,
        contextlib.closing(sqlite3.connect(draft)) as copy,
    ):
        source.backup(copy)
        # A copy keeps the source's mode; on its own a backup needs no side files.
        copy.execute("PRAGMA journal_mode = delete")
    if not is_sound(draft):
        draft.unlink()
        msg = "the copy does not pass SQLite's check"
        raise sqlite3.DatabaseError(msg)
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    draft.replace(target)


def repair(path: Path) -> str | None:
    """Put a sound database, or none at all, where a damaged one lies.

    Returns:
        None when nothing was wrong, else one sentence that says what was done. Where no database is left,
        the caller rebuilds the accounts from the stores.

    Raises:
        OSError: the files could not be moved.
    """
    if path.exists() and is_sound(path):
        return None
    backup = backup_path(path)
    if not path.exists() and not backup.exists():
        return None
    words = "was missing"
    if path.exists():
        aside = path.with_name(f"{path.name}.damaged-{int(time.time())}")
        for suffix in ("", "-wal", "-shm"):
            piece = path.with_name(path.name + suffix)
            if piece.exists():
                piece.rename(aside.with_name(aside.name + suffix))
        words = f"was damaged (kept as {aside.name})"
    if backup.exists() and is_sound(backup):
        draft = path.with_name(path.name + ".new")
        draft.write_bytes(backup.read_bytes())
        draft.replace(path)
        return f"{path.name} {words} and was replaced from the backup of the last start"
    return f"{path.name} {words} and was rebuilt from the stores"

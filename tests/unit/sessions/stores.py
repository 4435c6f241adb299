"""Builders of stores as whatsmeow writes them, as far as the daemon reads them."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

from sessions.store import DATABASE_NAME

ACCOUNT_ID = "a-abcdefghij"
JID = "491701234567:12@s.whatsapp.net"
LID = "123456789012345:12@lid"

# The columns of whatsmeow's store/sqlstore/upgrades that stand in every version since 2025.
SCHEMA = """
CREATE TABLE whatsmeow_device (
    jid TEXT PRIMARY KEY,
    lid TEXT,
    facebook_uuid TEXT,
    registration_id BIGINT NOT NULL,
    noise_key BLOB NOT NULL CHECK (length(noise_key) = 32),
    platform TEXT NOT NULL DEFAULT '',
    business_name TEXT NOT NULL DEFAULT '',
    push_name TEXT NOT NULL DEFAULT ''
)
"""
INSERT = (
    "INSERT INTO whatsmeow_device (jid, lid, registration_id, noise_key, platform, push_name) "
    "VALUES (?, ?, 1, zeroblob(32), 'android', 'Alice')"
)


def make_store(
    root: Path,
    account_id: str = ACCOUNT_ID,
    *,
    jid: str | None = JID,
    lid: str | None = LID,
    padding_pages: int = 0,
) -> Path:
    """Write a store with a device row (`jid` None: the table without a row); return the file."""
    path = root / account_id / DATABASE_NAME
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(SCHEMA)
        if jid is not None:
            connection.execute(INSERT, (jid, lid))
        if padding_pages:
            connection.execute("CREATE TABLE whatsmeow_pre_keys (key BLOB)")
            rows = [(bytes([number % 251]) * 3000,) for number in range(padding_pages)]
            connection.executemany("INSERT INTO whatsmeow_pre_keys VALUES (?)", rows)
    return path


def delete_device(path: Path) -> None:
    """Delete the device row, as the library does when WhatsApp says logged out."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM whatsmeow_device")


_HOT_WRITER = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
# A page cache of nothing: the pages go to the file in the middle of the transaction.
connection.execute("PRAGMA cache_size = 1")
connection.execute("PRAGMA cache_spill = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM whatsmeow_device")
connection.execute("UPDATE whatsmeow_pre_keys SET key = zeroblob(3000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_in_transaction(path: Path) -> None:
    """Begin a transaction that deletes the device, and be killed before the commit: the journal is hot."""
    subprocess.run([sys.executable, "-c", _HOT_WRITER, str(path)], check=False, timeout=30)
    journal = path.with_name(path.name + "-journal")
    assert journal.stat().st_size > 512, "the journal is not hot, the test would prove nothing"

"""What the simulator keeps of messages: one SQLite file beside the ledger.

One rule: what one call changes is committed when it returns, so a killed simulator has lost nothing of it.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE = "messages.sqlite"
# Everything is forgotten when this changes: nobody misses a simulator's messages.
_VERSION = 1

_TABLES = """
CREATE TABLE prekey (phone TEXT, device INTEGER, id INTEGER, public BLOB, PRIMARY KEY (phone, device, id));
CREATE TABLE device (phone TEXT, device INTEGER, bundle BLOB, PRIMARY KEY (phone, device));
CREATE TABLE chest (owner TEXT, kind TEXT, name TEXT, value BLOB, PRIMARY KEY (owner, kind, name));
CREATE TABLE mail (
    number INTEGER PRIMARY KEY AUTOINCREMENT, phone TEXT, device INTEGER, tag TEXT, id TEXT, type TEXT,
    participant TEXT, sender TEXT, stanza BLOB, posted_at REAL, sent INTEGER DEFAULT 0,
    acknowledged_at REAL, how TEXT, read_at REAL);
CREATE INDEX mail_of_device ON mail (phone, device, acknowledged_at);
CREATE INDEX mail_by_id ON mail (id);
CREATE TABLE outbox (
    number INTEGER PRIMARY KEY AUTOINCREMENT, phone TEXT, device INTEGER, id TEXT, reader TEXT, entry BLOB,
    copies INTEGER DEFAULT 1, unread TEXT, UNIQUE (phone, id, reader));
"""

Kept = TypeVar("Kept")


class Database:
    """The file in `directory`."""

    def __init__(self, directory: Path) -> None:
        file = directory / FILE
        self._connection = self._opened(file)
        [(version,)] = self._connection.execute("PRAGMA user_version")
        if version not in (0, _VERSION):
            self._connection.close()
            for path in directory.glob(f"{FILE}*"):
                path.unlink()
            self._connection, version = self._opened(file), 0
        if version == 0:
            script = f"BEGIN; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;"
            self._connection.executescript(script)

    @staticmethod
    def _opened(file: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(file, isolation_level=None)
        connection.row_factory = sqlite3.Row
        # A killed process loses nothing of a log that the system has; only a crash of the machine would.
        connection.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;")
        return connection

    def close(self) -> None:
        self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what is done inside as one change; inside another transaction it is a part of that."""
        if self._connection.in_transaction:
            yield
            return
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection.execute(query, values).fetchall()

    def change(self, query: str, *values: Any) -> int:
        """Run a change; returns how many rows it concerned."""
        return self._connection.execute(query, values).rowcount

    def insert(self, table: str, **values: Any) -> int:
        """Add a row; returns its number."""
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        done = self._connection.execute(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values())
        )
        return int(done.lastrowid or 0)


class Chest:
    """What one owner keeps under names: one kind of thing, as msgspec writes it."""

    def __init__(self, database: Database, owner: str) -> None:
        self._database = database
        self._owner = owner

    def get(self, kind: str, name: str, type_: type[Kept]) -> Kept | None:
        rows = self._database.rows(
            "SELECT value FROM chest WHERE owner = ? AND kind = ? AND name = ?", self._owner, kind, name
        )
        return msgspec.msgpack.decode(rows[0]["value"], type=type_) if rows else None

    def put(self, kind: str, name: str, value: Any) -> None:
        self._database.change(
            "INSERT OR REPLACE INTO chest (owner, kind, name, value) VALUES (?, ?, ?, ?)",
            *(self._owner, kind, name, msgspec.msgpack.encode(value)),
        )

    def drop(self, kind: str, name: str) -> None:
        self._database.change(
            "DELETE FROM chest WHERE owner = ? AND kind = ? AND name = ?", self._owner, kind, name
        )

    def empty(self, kind: str | None = None) -> None:
        """Forget everything, or everything of a kind."""
        self._database.change(
            "DELETE FROM chest WHERE owner = ? AND (? IS NULL OR kind = ?)", self._owner, kind, kind
        )

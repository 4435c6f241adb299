"""A memory, a disk, and the daemons that come and go on them."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from sessions.keys import Keys, StoreKey
from sessions.sealed_store import SealedStore
from sessions.store import DATABASE_NAME, SEALED_NAME
from tests.unit.sessions.sealing import KEY
from tests.unit.sessions.stores import ACCOUNT_ID


class Machine:
    """A memory, a disk, and the daemons that come and go on them."""

    def __init__(self, directory: Path) -> None:
        self.memory = directory / "memory"
        self.disk = directory / "sessions"
        self.memory.mkdir(mode=0o700)
        self.disk.mkdir(mode=0o700)
        self.sealed = self.disk / ACCOUNT_ID / SEALED_NAME
        self.plain = self.memory / ACCOUNT_ID / DATABASE_NAME
        self.old_plain = self.disk / ACCOUNT_ID / DATABASE_NAME
        self.least = 0

    def daemon(self, key: StoreKey = KEY, *former: StoreKey) -> SealedStore:
        """Start a daemon: it knows nothing of what an earlier one did but what lies there."""
        keys = Keys(current=key, former=former)
        return SealedStore(
            self.memory, ACCOUNT_ID, sealed_root=self.disk, keys=keys, least=lambda: self.least
        )

    def lose_power(self) -> None:
        shutil.rmtree(self.memory)
        self.memory.mkdir(mode=0o700)

    def write(self, value: str) -> None:
        """Let a worker commit a transaction."""
        with contextlib.closing(sqlite3.connect(self.plain)) as connection, connection:
            connection.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
            connection.execute("INSERT INTO words VALUES (?)", (value,))

    def words(self) -> list[str]:
        """Return what has been committed, as the plain copy has it."""
        with contextlib.closing(sqlite3.connect(self.plain)) as connection:
            return [word for (word,) in connection.execute("SELECT word FROM words ORDER BY rowid")]

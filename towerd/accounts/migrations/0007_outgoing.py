"""Texts to be sent, and what became of them.

The one rule: a key names one text of one account, for ever, so that asking twice sends once.
"""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the table."""
    for statement in (
        """
        CREATE TABLE outgoing (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            account_id TEXT NOT NULL,
            key TEXT,
            target TEXT NOT NULL,
            chat TEXT,
            text TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'failed')),
            reason TEXT,
            attempts INTEGER NOT NULL,
            created_at REAL NOT NULL,
            next_attempt_at REAL NOT NULL,
            settled_at REAL,
            message_id TEXT
        )
        """,
        "CREATE UNIQUE INDEX outgoing_key ON outgoing (account_id, key) WHERE key IS NOT NULL",
        "CREATE INDEX outgoing_order ON outgoing (account_id, id)",
        "CREATE INDEX outgoing_open ON outgoing (account_id, id) WHERE state IN ('queued', 'sending')",
    ):
        db.execute_sql(statement)

"""Messages that came in, and how many went and came on each day.

The one rule: a message is named by account, chat and WhatsApp's id, and stands there once.
"""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the tables."""
    for statement in (
        """
        CREATE TABLE message (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            account_id TEXT NOT NULL,
            message_id TEXT NOT NULL,
            chat TEXT NOT NULL,
            sender TEXT,
            sender_lid TEXT,
            push_name TEXT,
            from_me INTEGER NOT NULL,
            is_group INTEGER NOT NULL,
            kind TEXT NOT NULL,
            text TEXT,
            quoted_id TEXT,
            target_id TEXT,
            time REAL NOT NULL,
            received_at REAL NOT NULL
        )
        """,
        "CREATE UNIQUE INDEX message_once ON message (account_id, chat, message_id)",
        "CREATE INDEX message_order ON message (account_id, id)",
        """
        CREATE TABLE traffic (
            account_id TEXT NOT NULL,
            day TEXT NOT NULL,
            received INTEGER NOT NULL,
            sent INTEGER NOT NULL,
            PRIMARY KEY (account_id, day)
        )
        """,
    ):
        db.execute_sql(statement)

"""Events on their way to webhooks.

The one rule: a row has all that a delivery needs, so that the event itself may be pruned.
"""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the table."""
    for statement in (
        """
        CREATE TABLE delivery (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            endpoint TEXT NOT NULL,
            event_id INTEGER NOT NULL,
            event_type TEXT NOT NULL,
            message_id TEXT NOT NULL,
            lane TEXT NOT NULL,
            account_name TEXT,
            body TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('queued', 'delivered', 'dead')),
            attempts INTEGER NOT NULL,
            created_at REAL NOT NULL,
            next_attempt_at REAL NOT NULL,
            attempted_at REAL,
            status INTEGER,
            error TEXT
        )
        """,
        "CREATE INDEX delivery_waiting ON delivery (endpoint, lane, id) WHERE state = 'queued'",
        "CREATE INDEX delivery_order ON delivery (endpoint, state, id)",
    ):
        db.execute_sql(statement)

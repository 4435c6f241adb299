"""What needs a human, and who has been told of it."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Create the table."""
    db.execute_sql(
        """
        CREATE TABLE incident (
            id TEXT NOT NULL PRIMARY KEY,
            subject TEXT NOT NULL,
            kind TEXT NOT NULL,
            line TEXT NOT NULL,
            action TEXT,
            account_id TEXT,
            account_name TEXT,
            owner_uid INTEGER,
            opened_at REAL NOT NULL,
            closed_at REAL,
            outcome TEXT,
            told TEXT NOT NULL,
            is_settled INTEGER NOT NULL
        )
        """
    )

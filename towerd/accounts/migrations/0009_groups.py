"""The groups that accounts are in.

The one rule: the list of an account is replaced as a whole.
"""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the table."""
    db.execute_sql(
        """
        CREATE TABLE chat_group (
            account_id TEXT NOT NULL,
            jid TEXT NOT NULL,
            name TEXT NOT NULL,
            members TEXT NOT NULL,
            synced_at REAL NOT NULL,
            PRIMARY KEY (account_id, jid)
        )
        """
    )

"""Accounts that drop-in files declare, and limits of their own."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the columns."""
    for statement in (
        "ALTER TABLE account ADD COLUMN daily_limit INTEGER",
        "ALTER TABLE account ADD COLUMN per_minute_limit INTEGER",
        "ALTER TABLE account ADD COLUMN declared_in TEXT",
        "ALTER TABLE account ADD COLUMN is_declaration_gone INTEGER NOT NULL DEFAULT 0",
        """
        ALTER TABLE account ADD COLUMN declared_desired TEXT
        CHECK (declared_desired IN ('running', 'stopped'))
        """,
    ):
        db.execute_sql(statement)

"""The last seal of an account's store that is known of."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the column."""
    db.execute_sql("ALTER TABLE account ADD COLUMN sealed_sequence INTEGER NOT NULL DEFAULT 0")

"""Accounts that connect through a proxy of their own."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the column: where the file lies that holds the URL."""
    db.execute_sql("ALTER TABLE account ADD COLUMN proxy_file TEXT")

"""Whose accounts events and audit rows are about, which outlives the accounts."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the columns, and fill them in as far as it is known."""
    for statement in (
        "ALTER TABLE event ADD COLUMN owner_uid INTEGER",
        "ALTER TABLE audit ADD COLUMN owner_uid INTEGER",
        "CREATE TEMPORARY TABLE owner_of (account_id TEXT NOT NULL PRIMARY KEY, uid INTEGER)",
        "INSERT INTO owner_of SELECT id, owner_uid FROM account",
        # Accounts that are gone left their owner in the audit log only: who added them.
        """
        INSERT OR IGNORE INTO owner_of SELECT account_id, uid FROM audit
        WHERE action = 'account.add' AND account_id IS NOT NULL ORDER BY id
        """,
        "UPDATE event SET owner_uid = (SELECT uid FROM owner_of WHERE account_id = event.account_id)",
        "UPDATE audit SET owner_uid = (SELECT uid FROM owner_of WHERE account_id = audit.account_id)",
        "DROP TABLE owner_of",
    ):
        db.execute_sql(statement)

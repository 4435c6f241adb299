"""A phone is linked once per owner; what stands beside a reason; the audit log."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Add the columns, the index and the table."""
    for statement in (
        "ALTER TABLE account ADD COLUMN detail TEXT",
        "ALTER TABLE account ADD COLUMN cause TEXT",
        "ALTER TABLE account ADD COLUMN banned_until REAL",
        "ALTER TABLE account ADD COLUMN pairing_phone TEXT",
        "ALTER TABLE account ADD COLUMN phone TEXT",
        """
        UPDATE account SET phone = '+' || substr(jid, 1, instr(jid, '@') - 1)
        WHERE jid LIKE '%@s.whatsapp.net'
        """,
        """
        CREATE UNIQUE INDEX account_one_link ON account (owner_uid, phone)
        WHERE is_linked AND phone IS NOT NULL
        """,
        """
        CREATE TABLE audit (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            time REAL NOT NULL,
            uid INTEGER,
            user TEXT NOT NULL,
            pid INTEGER,
            source TEXT NOT NULL CHECK (source IN ('cli', 'drop-in', 'daemon', 'phone')),
            action TEXT NOT NULL,
            account_id TEXT,
            account_label TEXT,
            result TEXT NOT NULL,
            detail TEXT
        )
        """,
        "CREATE INDEX audit_time ON audit (time)",
    ):
        db.execute_sql(statement)

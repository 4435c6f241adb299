"""Accounts, their history, and events."""

from typing import Any


def up(migrator: Any, db: Any) -> None:  # noqa: ARG001
    """Create the tables. Plain SQL: peewee's create_tables knows no AUTOINCREMENT."""
    for statement in (
        """
        CREATE TABLE account (
            id TEXT NOT NULL PRIMARY KEY,
            owner_uid INTEGER NOT NULL,
            created_at REAL NOT NULL,
            name TEXT NOT NULL,
            display_name TEXT,
            desired TEXT NOT NULL CHECK (desired IN ('running', 'stopped')),
            expected_phone TEXT,
            intent TEXT CHECK (intent IN ('logout', 'unpair', 'remove')),
            state TEXT NOT NULL,
            reason TEXT,
            since REAL NOT NULL,
            is_linked INTEGER NOT NULL,
            is_confirmed INTEGER NOT NULL,
            is_primary INTEGER NOT NULL,
            jid TEXT,
            lid TEXT,
            device_number INTEGER,
            push_name TEXT,
            business_name TEXT,
            platform TEXT,
            pairing_started_at REAL,
            updated_at REAL NOT NULL,
            last_connected_at REAL,
            last_disconnected_at REAL,
            last_seen_at REAL,
            last_activity_at REAL
        )
        """,
        "CREATE UNIQUE INDEX account_owner_name ON account (owner_uid, name)",
        "CREATE UNIQUE INDEX account_one_primary ON account (owner_uid) WHERE is_primary",
        """
        CREATE TABLE transition (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            account_id TEXT NOT NULL,
            time REAL NOT NULL,
            old TEXT,
            new TEXT NOT NULL,
            reason TEXT
        )
        """,
        "CREATE INDEX transition_account ON transition (account_id, id)",
        """
        CREATE TABLE event (
            id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
            time REAL NOT NULL,
            type TEXT NOT NULL,
            account_id TEXT,
            account_name TEXT,
            data TEXT NOT NULL
        )
        """,
        "CREATE INDEX event_time ON event (time)",
    ):
        db.execute_sql(statement)

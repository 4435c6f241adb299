"""What the daemon knows of its accounts and keeps: records, the registry in SQLite, the ledger."""

"""What clients sent and others really read, or could not read: one entry for each message and reader.

One rule: only a reader who decrypted the message makes an entry; what comes twice is counted, not listed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.whatsapp.database import Database


class Outbox:
    """The entries of all phones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, phone: str, device: int, message_id: str, reader: str, entry: dict[str, Any]) -> None:
        """Note that `reader` has read what a device of `phone` sent."""
        noted = msgspec.msgpack.encode(entry | {"at": time.time()})
        self._database.change(
            "INSERT INTO outbox (phone, device, id, reader, entry) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET copies = copies + (unread IS NULL), "
            "entry = iif(unread IS NULL, entry, excluded.entry), unread = NULL",
            *(phone, device, message_id, reader, noted),
        )

    def note_unread(self, phone: str, device: int, message_id: str, reader: str, reason: str) -> None:
        """Note that a reader could not read a message: because it came before, unless it did not."""
        noted = msgspec.msgpack.encode({"at": time.time(), "reason": reason})
        self._database.change(
            "INSERT INTO outbox (phone, device, id, reader, entry, unread) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO UPDATE SET copies = copies + 1",
            *(phone, device, message_id, reader, noted, reason),
        )

    def entries(self, phone: str, *, are_read: bool = True) -> list[dict[str, Any]]:
        """Return what was read of what a phone's devices sent, or could not be, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM outbox WHERE phone = ? AND (unread IS NULL) = ? ORDER BY number", phone, are_read
        )
        return [
            {"id": row["id"], "device": row["device"], "to": row["reader"], "copies": row["copies"]}
            | msgspec.msgpack.decode(row["entry"], type=dict[str, Any])
            for row in rows
        ]

    def device_of(self, phone: str, message_id: str, reader: str) -> tuple[int, str]:
        """Return which device sent a message and to which chat; (0, "") when the reader never read it."""
        for entry in self.entries(phone):
            if (entry["id"], entry["to"]) == (message_id, reader):
                return entry["device"], entry["chat"]
        return 0, ""

    def forget(self, phone: str) -> None:
        self._database.change("DELETE FROM outbox WHERE phone = ?", phone)

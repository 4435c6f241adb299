"""What waits for linked devices: messages, receipts, notifications, each until it is acknowledged.

One rule: nothing is forgotten that was not acknowledged; it comes again at every login, as from WhatsApp.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, Literal

from tests.whatsapp.binary_xml import SERVER, Attributes, Node, decode, encode
from tests.whatsapp.handset import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.connection import Connection
    from tests.whatsapp.database import Database

Order = Literal["posted", "reversed", "shuffled"]

_WAITING = "phone = ? AND device = ? AND acknowledged_at IS NULL AND how IS NULL"
# How the counts of what waits are called in the stanza that announces it.
_PREVIEWED = ("message", "receipt", "notification")


class Mail:
    """The queues of all linked devices; `session_of` finds the connection of one that is logged in."""

    def __init__(self, database: Database, session_of: Callable[[str, int], Connection | None]) -> None:
        self._database = database
        self._session_of = session_of
        self._held: set[str] = set()

    def post(self, phone: str, device: int, node: Node, *, sender: str = "") -> None:
        """Queue a stanza for a device, and send it if the device is there."""
        number = self._database.insert(
            "mail",
            phone=phone,
            device=device,
            tag=node.tag,
            id=node.get("id"),
            type=node.get("type"),
            participant=node.get("participant"),
            sender=sender,
            stanza=encode(node),
            posted_at=time.time(),
        )
        session = self._session_of(phone, device)
        if session is not None and session.is_active and phone not in self._held:
            self._send(session, number, node)

    def preview(self, connection: Connection) -> Node:
        """Return what announces to a device that logs in how much waits for it."""
        counts = {
            row["tag"]: row["n"]
            for row in self._database.rows(
                f"SELECT tag, count(*) AS n FROM mail WHERE {_WAITING} GROUP BY tag",
                *(connection.phone, connection.device),
            )
        }
        attrs: Attributes = {name: str(counts.get(name, 0)) for name in _PREVIEWED}
        attrs |= {"count": str(sum(counts.values())), "appdata": "0"}
        return Node("ib", {"from": SERVER}, [Node("offline_preview", attrs)])

    def deliver_backlog(self, connection: Connection) -> None:
        """Send a device that came back all that waits for it, and tell it when that was all."""
        waiting = []
        if connection.phone not in self._held:
            waiting = self._database.rows(
                f"SELECT number, stanza FROM mail WHERE {_WAITING} ORDER BY number",
                *(connection.phone, connection.device),
            )
        for place, row in enumerate(waiting):
            node = decode(row["stanza"])
            node.attrs["offline"] = str(place)
            self._send(connection, row["number"], node)
        over = Node("ib", {"from": SERVER}, [Node("offline", {"count": str(len(waiting))})])
        asyncio.get_running_loop().call_soon(connection.send, over)

    def hold(self, phone: str) -> None:
        """Send a phone's devices nothing for now."""
        self._held.add(phone)

    def release(self, phone: str, order: Order) -> int:
        """Send what was held back, in an order; returns how many stanzas that were."""
        self._held.discard(phone)
        waiting = self._database.rows(
            "SELECT number, device, stanza FROM mail "
            "WHERE phone = ? AND sent = 0 AND acknowledged_at IS NULL ORDER BY number",
            phone,
        )
        if order == "reversed":
            waiting.reverse()
        elif order == "shuffled":
            random.shuffle(waiting)
        sent = 0
        for row in waiting:
            session = self._session_of(phone, row["device"])
            if session is not None and session.is_active:
                self._send(session, row["number"], decode(row["stanza"]))
                sent += 1
        return sent

    def send_again(self, phone: str, message_id: str) -> int:
        """Send a message once more as it was, acknowledged or not; returns to how many devices."""
        rows = self._database.rows(
            "SELECT number, device, stanza FROM mail WHERE phone = ? AND tag = 'message' AND id = ?",
            phone,
            message_id,
        )
        if not rows:
            raise Refused("unknown-message", f"no message {message_id} was posted to {phone}")
        sent = 0
        for row in rows:
            session = self._session_of(phone, row["device"])
            if session is not None:
                self._send(session, row["number"], decode(row["stanza"]))
                sent += 1
        return sent

    def take_ack(self, connection: Connection, ack: Node) -> None:
        """Take a client's ack: the oldest stanza of that class and id that it did not acknowledge yet."""
        error = ack.get("error")
        for row in self._database.rows(
            "SELECT number FROM mail WHERE phone = ? AND device = ? AND tag = ? AND id = ? "
            "AND acknowledged_at IS NULL AND (tag != 'receipt' OR (type = ? AND participant = ?)) "
            "ORDER BY number LIMIT 1",
            *(connection.phone, connection.device, ack.get("class"), ack.get("id")),
            *(ack.get("type"), ack.get("participant")),
        ):
            self._database.change(
                "UPDATE mail SET acknowledged_at = ?, how = coalesce(how, ?) WHERE number = ?",
                *(time.time(), f"nack {error}" if error else "ack", row["number"]),
            )

    def take_receipt(self, connection: Connection, ids: list[str], kind: str) -> None:
        """Take a client's receipt for messages: `delivered`, `inactive`, `sender`, `read`, `retry`, …."""
        key = (connection.phone, connection.device)
        for message_id in ids:
            where = "phone = ? AND device = ? AND tag = 'message' AND id = ?"
            if kind in ("read", "read-self", "played"):
                self._database.change(
                    f"UPDATE mail SET read_at = ? WHERE {where}", time.time(), *key, message_id
                )
            elif kind == "retry":
                # The ack that goes with it may have come before it, or is still to come.
                self._database.change(
                    f"UPDATE mail SET how = 'retry' WHERE {where} AND (how IS NULL OR how = 'ack')",
                    *key,
                    message_id,
                )
            else:
                self._database.change(
                    f"UPDATE mail SET acknowledged_at = ?, how = ? WHERE {where} AND how IS NULL",
                    *(time.time(), kind, *key, message_id),
                )

    def messages(self, phone: str, *, are_acknowledged: bool) -> list[dict[str, Any]]:
        """Return what was posted to a phone's devices and is acknowledged, or is not, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM mail WHERE phone = ? AND tag = 'message' AND sender != '' "
            "AND (acknowledged_at IS NULL AND how IS NULL) = ? ORDER BY number",
            *(phone, not are_acknowledged),
        )
        return [
            {
                "id": row["id"],
                "device": row["device"],
                "chat": decode(row["stanza"]).get("from"),
                "sender": row["sender"],
                "how": row["how"],
                "posted_at": row["posted_at"],
                "acknowledged_at": row["acknowledged_at"],
                "read_at": row["read_at"],
                "sent": row["sent"],
            }
            for row in rows
        ]

    def forget(self, phone: str, device: int | None = None) -> None:
        """Throw away what waits for a device that is unlinked, or all there ever was for a phone."""
        if device is None:
            self._database.change("DELETE FROM mail WHERE phone = ?", phone)
        else:
            self._database.change(
                "DELETE FROM mail WHERE phone = ? AND device = ? AND acknowledged_at IS NULL", phone, device
            )

    def _send(self, session: Connection, number: int, node: Node) -> None:
        # After the answer to what caused it: an ack of a message comes before the receipt of who read it.
        self._database.change("UPDATE mail SET sent = sent + 1 WHERE number = ?", number)
        asyncio.get_running_loop().call_soon(session.send, node)

"""What clients send each other: the server takes it, passes it on as it is, and acknowledges it.

One rule: the server cannot read what it passes on; only the ends can, simulated phones and linked devices.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.whatsapp.binary_xml import SERVER, Attributes, Jid, Node
from tests.whatsapp.groups import Group
from tests.whatsapp.phones import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.connection import Connection
    from tests.whatsapp.handset import Handset
    from tests.whatsapp.server import Server

_FORBIDDEN, _NOT_FOUND = 403, 404
# What a linked device that is written to gets to see of the sender's stanza.
_PASSED_ON = ("type", "edit", "category")


class Exchange:
    """The passing on of messages and receipts between the devices of `server`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._withheld: list[tuple[Connection, Node]] = []

    def take_message(self, connection: Connection, node: Node) -> None:
        """Take a client's message: pass it on to all that it is for, then acknowledge it."""
        faults, sender = self._server.faults, self._server.ledger.handsets[connection.phone or ""]
        if faults.loses_messages:
            return
        error = faults.take_nack()
        chat = self._chat(node)
        if error is None and chat is None:
            error = _NOT_FOUND
        elif error is None and isinstance(chat, Group) and sender.phone not in chat.members:
            error = _FORBIDDEN
        if error is None and chat is not None:
            to = node.attrs["to"]
            is_lid = chat.is_lid if isinstance(chat, Group) else isinstance(to, Jid) and to.server == "lid"
            source = Source(handset=sender, device=connection.device or 0, chat=chat, is_lid=is_lid)
            with self._server.database.transaction():
                for reader, device, encs in list(self._envelopes(source, node)):
                    self._pass_on(source, reader, device, node, encs)
        self._acknowledge(connection, node, error)

    def take_receipt(self, connection: Connection, node: Node) -> None:
        """Take a client's receipt: note it, and tell whoever wrote the messages."""
        kind = node.get("type") or "delivered"
        items = node.child("list")
        ids = [node.get("id"), *(item.get("id") for item in (items.children if items else []))]
        with self._server.database.transaction():
            self._server.mail.take_receipt(connection, ids, kind)
            self._tell_writer(connection, node, kind)
        connection.send(acknowledgement(node))

    def release(self) -> int:
        """Send the acks that were withheld; returns how many."""
        withheld, self._withheld = self._withheld, []
        for connection, ack in withheld:
            connection.send(ack)
        return len(withheld)

    def _chat(self, node: Node) -> Group | Handset | None:
        to = node.attrs.get("to")
        if not isinstance(to, Jid):
            return None
        return self._server.groups.find(to) if to.server == "g.us" else self._server.ledger.owner(to)

    def _envelopes(self, source: Source, node: Node) -> Iterator[tuple[Handset, int, list[Node]]]:
        """Yield each device that a message is for, with what is encrypted for it."""
        shared = [child for child in node.children if child.tag == "enc"]
        participants = node.child("participants")
        own: dict[tuple[str, int], list[Node]] = {}
        for to in participants.children if participants else []:
            jid = to.attrs.get("jid")
            owner = self._server.ledger.owner(jid) if isinstance(jid, Jid) else None
            if owner is not None and isinstance(jid, Jid):
                own[(owner.phone, jid.device)] = [enc for enc in to.children if enc.tag == "enc"]
        one = node.attrs.get("participant", node.attrs["to"])
        if participants is None and isinstance(one, Jid) and one.server != "g.us":
            # For one device: asked for again, or something between the devices of one account.
            owner = self._server.ledger.owner(one)
            own = {(owner.phone, one.device): []} if owner else {}
        elif isinstance(source.chat, Group):
            for member in source.chat.members:
                for number in (0, *self._server.ledger.handset(member).devices):
                    own.setdefault((member, number), [])
        for (phone, device), encs in own.items():
            if (phone, device) != (source.handset.phone, source.device) and (encs or shared):
                yield self._server.ledger.handset(phone), device, encs + shared

    def _pass_on(self, source: Source, reader: Handset, device: int, node: Node, encs: list[Node]) -> None:
        message_id = node.get("id")
        if device == 0:
            self._server.phones.receive(source, reader, message_id, encs)
        elif device in reader.devices:
            attrs: Attributes = {name: node.attrs[name] for name in _PASSED_ON if name in node.attrs}
            attrs |= {
                **source.attributes(reader),
                "id": message_id,
                "t": node.get("t") or str(int(time.time())),
            }
            attrs["notify"] = source.handset.push_name
            identity = node.child("device-identity")
            content = [*encs, identity] if identity else encs
            self._server.mail.post(
                reader.phone, device, Node("message", attrs, content), sender=source.handset.phone
            )

    def _tell_writer(self, connection: Connection, node: Node, kind: str) -> None:
        to = node.attrs.get("participant", node.attrs.get("to"))
        writer = self._server.ledger.owner(to) if isinstance(to, Jid) else None
        reader = self._server.ledger.handsets[connection.phone or ""]
        own = reader.devices.get(connection.device or 0)
        if writer is None or own is None or not isinstance(to, Jid):
            return
        if to.device == 0:
            if kind == "retry":
                self._server.phones.send_again(writer, reader, own, node)
        elif to.device in writer.devices:
            chat = self._chat(node)
            other = chat if isinstance(chat, Group) else writer
            source = Source(handset=reader, device=own.number, chat=other, is_lid=to.server == "lid")
            kept: Attributes = {name: node.attrs[name] for name in ("id", "type", "t") if name in node.attrs}
            attrs: Attributes = {"t": str(int(time.time())), **source.attributes(writer), **kept}
            self._server.mail.post(
                writer.phone, to.device, Node("receipt", attrs, node.content), sender=reader.phone
            )

    def _acknowledge(self, connection: Connection, node: Node, error: int | None) -> None:
        ack = acknowledgement(node)
        if error is not None:
            ack.attrs["error"] = str(error)
        faults = self._server.faults
        if faults.withholds_acks:
            self._withheld.append((connection, ack))
        elif faults.ack_delay_seconds:
            asyncio.get_running_loop().call_later(faults.ack_delay_seconds, connection.send, ack)
        else:
            connection.send(ack)


def acknowledgement(node: Node) -> Node:
    """Return the ack of a client's stanza."""
    attrs: Attributes = {
        "class": node.tag,
        "id": node.get("id"),
        "from": node.attrs.get("to", SERVER),
        "t": str(int(time.time())),
    }
    for name in ("type", "participant"):
        if name in node.attrs:
            attrs[name] = node.attrs[name]
    return Node("ack", attrs)

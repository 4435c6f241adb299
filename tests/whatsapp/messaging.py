"""The verbs of the control socket that concern messages and groups.

One rule: as for all verbs: what cannot be done raises Refused and has changed nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.whatsapp import contents
from tests.whatsapp.contents import Quoted
from tests.whatsapp.groups import Addressing, Group, address
from tests.whatsapp.handset import Refused
from tests.whatsapp.mail import Order
from tests.whatsapp.phones import Letter

if TYPE_CHECKING:
    from tests.whatsapp.handset import Handset
    from tests.whatsapp.protobufs import Message
    from tests.whatsapp.server import Server


class MessageVerbs:
    """The verbs; `phone` is always the account whose linked devices are under test."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ledger = server.ledger

    def contact(self, phone: str, name: str) -> dict[str, Any]:
        handset = self._ledger.handset(phone)
        handset.push_name = name
        self._ledger.save()
        self._server.app_state.tell_push_name(handset)
        return handset.as_json() | {"jid": str(handset.jid())}

    # What others write

    def deliver(
        self,
        phone: str,
        sender: str,
        text: str | None = None,
        kind: str = "text",
        caption: str | None = None,
        quoted: str | None = None,
        message: Any = None,
        message_id: str | None = None,
        addressing: Addressing = "lid",
        one_address: bool = False,
        at: float | None = None,
    ) -> dict[str, Any]:
        """Have somebody write to an account."""
        account, writer = self._ledger.known_handset(phone), self._writer(sender)
        author = str(address(account, is_lid=addressing == "lid"))
        content = self._content(
            text, kind, caption, message, Quoted(id=quoted, author=author) if quoted else None
        )
        letter = Letter(
            message=content,
            message_id=message_id,
            is_lid=addressing == "lid",
            is_named_twice=not one_address,
            at=at,
        )
        return self._server.phones.send(writer, account, letter)

    def echo(
        self,
        phone: str,
        to: str,
        text: str,
        message_id: str | None = None,
        addressing: Addressing = "lid",
        at: float | None = None,
    ) -> dict[str, Any]:
        """Have the account's own phone write to somebody: its linked devices get a copy."""
        account, reader = self._ledger.known_handset(phone), self._writer(to)
        letter = Letter(message=contents.text(text), message_id=message_id, is_lid=addressing == "lid", at=at)
        return self._server.phones.send(account, reader, letter)

    def react(
        self,
        phone: str,
        sender: str,
        target: str,
        emoji: str,
        group: str | None = None,
        addressing: Addressing = "lid",
    ) -> dict[str, Any]:
        """Have somebody react to a message: to the account's, unless it is the sender's own."""
        account, writer = self._ledger.known_handset(phone), self._writer(sender)
        is_own = self._server.phones.has_sent(writer, target)
        if group is None:
            chat: Group | Handset = account
            key = {"chat": str(address(account, is_lid=addressing == "lid"))}
        else:
            chat = self._member_group(group, writer)
            key = {"chat": str(chat.jid)}
            if not is_own:
                key["author"] = str(address(account, is_lid=chat.is_lid))
        message = contents.reaction(emoji, target=target, is_own=is_own, **key)
        return self._server.phones.send(writer, chat, Letter(message=message, is_lid=addressing == "lid"))

    def read(self, phone: str, reader: str, ids: list[str], played: bool = False) -> dict[str, Any]:
        """Have somebody see what the account sent: read receipts."""
        account, contact = self._ledger.known_handset(phone), self._ledger.known_handset(reader)
        return self._server.phones.read(contact, account, ids, "played" if played else "read")

    def forget_sessions(self, phone: str, contact: str) -> dict[str, Any]:
        """Have a contact's phone lose its sessions with the account, so that it has to ask again."""
        account, handset = self._ledger.known_handset(phone), self._ledger.known_handset(contact)
        for number in account.devices:
            self._server.phones.of(handset).forget_sessions(f"{account.phone}:{number}")
        return {"devices": sorted(account.devices)}

    # What came of it

    def outbox(self, phone: str) -> list[dict[str, Any]]:
        return self._server.outbox.entries(self._ledger.known_handset(phone).phone)

    def unread(self, phone: str) -> list[dict[str, Any]]:
        return self._server.outbox.entries(self._ledger.known_handset(phone).phone, are_read=False)

    def acknowledged(self, phone: str) -> list[dict[str, Any]]:
        return self._server.mail.messages(self._ledger.known_handset(phone).phone, are_acknowledged=True)

    def backlog(self, phone: str) -> list[dict[str, Any]]:
        return self._server.mail.messages(self._ledger.known_handset(phone).phone, are_acknowledged=False)

    # What goes wrong with messages

    def withhold(self, on: bool) -> dict[str, Any]:
        self._server.faults.withholds_acks = on
        return {"withhold": on, "released": 0 if on else self._server.exchange.release()}

    def lose(self, on: bool) -> dict[str, Any]:
        self._server.faults.loses_messages = on
        return {"lose": on}

    def nack(self, code: int, times: int = 1) -> dict[str, Any]:
        self._server.faults.nack = (code, times) if times > 0 else None
        return {"code": code, "times": max(0, times)}

    def delay_acks(self, milliseconds: float) -> dict[str, Any]:
        self._server.faults.ack_delay_seconds = max(0.0, milliseconds / 1000)
        return {"delay-acks": milliseconds}

    def receipts(self, on: bool) -> dict[str, Any]:
        self._server.faults.gives_receipts = on
        return {"receipts": on}

    def hold(self, phone: str, on: bool, order: Order = "posted") -> dict[str, Any]:
        number = self._ledger.known_handset(phone).phone
        if on:
            self._server.mail.hold(number)
            return {"hold": True}
        return {"hold": False, "sent": self._server.mail.release(number, order)}

    def redeliver(self, phone: str, message_id: str) -> dict[str, Any]:
        return {"sent": self._server.mail.send_again(self._ledger.known_handset(phone).phone, message_id)}

    # Groups

    def groups(self) -> list[dict[str, Any]]:
        return [group.as_json() for group in self._server.groups.all()]

    def group_create(
        self, subject: str, members: list[str], addressing: Addressing = "lid"
    ) -> dict[str, Any]:
        handsets = [self._writer(member) for member in members]
        return self._server.groups.create(subject, handsets, addressing).as_json()

    def group_add(self, group: str, phone: str) -> dict[str, Any]:
        found = self._server.groups.known(group)
        self._server.groups.add(found, self._writer(phone))
        return found.as_json()

    def group_remove(self, group: str, phone: str) -> dict[str, Any]:
        found = self._server.groups.known(group)
        self._server.groups.remove(found, self._ledger.known_handset(phone))
        return found.as_json()

    def group_rename(self, group: str, subject: str) -> dict[str, Any]:
        found = self._server.groups.known(group)
        self._server.groups.rename(found, subject)
        return found.as_json()

    def group_send(
        self,
        group: str,
        sender: str,
        text: str | None = None,
        kind: str = "text",
        caption: str | None = None,
        quoted: str | None = None,
        author: str | None = None,
        message: Any = None,
        message_id: str | None = None,
        at: float | None = None,
    ) -> dict[str, Any]:
        """Have a member write to a group; `author` wrote what is quoted."""
        writer = self._ledger.known_handset(sender)
        found = self._member_group(group, writer)
        cited = self._ledger.known_handset(author) if author else writer
        quote = Quoted(id=quoted, author=str(address(cited, is_lid=found.is_lid))) if quoted else None
        content = self._content(text, kind, caption, message, quote)
        return self._server.phones.send(writer, found, Letter(message=content, message_id=message_id, at=at))

    def _writer(self, phone: str) -> Handset:
        """Return the handset of a number: whoever writes or is written to is on WhatsApp."""
        handset = self._ledger.handset(phone)
        self._ledger.save()
        return handset

    def _member_group(self, jid: str, member: Handset) -> Group:
        group = self._server.groups.known(jid)
        if member.phone not in group.members:
            raise Refused("no-member", f"{member.phone} is no member of {group.jid}")
        return group

    @staticmethod
    def _content(
        text: str | None, kind: str, caption: str | None, message: Any, quoted: Quoted | None
    ) -> Message:
        if message is not None:
            return contents.from_json(message)
        if kind == "text":
            if text is None or caption is not None:
                raise Refused("malformed", "a text message has a text and no caption")
            return contents.text(text, quoted=quoted)
        if text is not None or quoted is not None:
            raise Refused("malformed", f"a message of the kind {kind} has no text and no quote")
        return contents.other(kind, caption=caption)

"""What the simulated phones do with messages: write, read, ask again for what they cannot read, and answer.

One rule: a phone knows of a message only what it could decrypt itself.
"""

from __future__ import annotations

import logging
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.whatsapp import contents
from tests.whatsapp.binary_xml import Attributes, Node
from tests.whatsapp.correspondent import Correspondent
from tests.whatsapp.groups import Group, address
from tests.whatsapp.prekeys import bundle_nodes, read_keys
from tests.whatsapp.protobufs import Message
from tests.whatsapp.signal.curve import SignalError

if TYPE_CHECKING:
    from tests.whatsapp.handset import Handset, LinkedDevice
    from tests.whatsapp.server import Server

log = logging.getLogger(__name__)

# How often whatsmeow and the phones ask again, and answer.
_MAX_RETRIES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where a message comes from, and the chat it belongs to: a group, or the other end."""

    handset: Handset
    device: int = 0
    chat: Group | Handset
    is_lid: bool = True
    # Whether the stanza names both addresses of the sender, as WhatsApp does today.
    is_named_twice: bool = True

    @property
    def name(self) -> str:
        """Return what Signal sessions with the device are kept under."""
        return f"{self.handset.phone}:{self.device}"

    def attributes(self, reader: Handset) -> Attributes:
        """Return the addresses of a stanza for one of the reader's devices."""
        own, same = address(self.handset, self.device, is_lid=self.is_lid), not self.is_lid
        other = address(self.handset, self.device, is_lid=same)
        if isinstance(self.chat, Group):
            named = {"participant_pn" if self.is_lid else "participant_lid": other}
            attrs: Attributes = {"from": self.chat.jid, "participant": own}
            return {**attrs, **named, "addressing_mode": self.chat.addressing}
        attrs = {"from": own}
        if reader is self.handset:
            attrs["recipient"] = address(self.chat, is_lid=self.is_lid)
            attrs["peer_recipient_pn" if self.is_lid else "peer_recipient_lid"] = address(
                self.chat, is_lid=same
            )
        elif self.is_named_twice:
            attrs["sender_pn" if self.is_lid else "sender_lid"] = other
        return attrs


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """What a phone writes, and how its stanza looks."""

    message: Message
    message_id: str | None = None
    is_lid: bool = True
    is_named_twice: bool = True
    notify: str | None = None
    at: float | None = None


@dataclass(kw_only=True, slots=True)
class _Sent:
    """A message as its writer remembers it."""

    message: bytes
    chat: str
    is_group: bool
    is_lid: bool
    is_named_twice: bool
    notify: str
    at: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Shared:
    """What all members get of a message, and the sender key for those who were not told of it."""

    group: Group
    enc: Node
    key: bytes


class Phones:
    """All simulated phones of `server`."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._correspondents: dict[str, Correspondent] = {}

    def of(self, handset: Handset) -> Correspondent:
        """Return the Signal side of a handset."""
        known = self._correspondents.get(handset.phone)
        if known is None or known.handset is not handset:
            known = Correspondent(handset, self._server.database)
            self._correspondents[handset.phone] = known
        return known

    def forget(self, handset: Handset) -> None:
        """Throw away all that a handset's phone kept."""
        self.of(handset).forget_everything()
        del self._correspondents[handset.phone]

    # Writing

    def send(self, writer: Handset, chat: Group | Handset, letter: Letter) -> dict[str, Any]:
        """Have a phone write to a chat; returns the id and the devices that were written to.

        The writer's own linked devices get their copy, as from WhatsApp.
        """
        message_id = letter.message_id or secrets.token_hex(16).upper()
        sent = _Sent(
            message=letter.message.SerializeToString(),
            chat=chat.id if isinstance(chat, Group) else chat.phone,
            is_group=isinstance(chat, Group),
            is_lid=chat.is_lid if isinstance(chat, Group) else letter.is_lid,
            is_named_twice=letter.is_named_twice,
            notify=writer.push_name if letter.notify is None else letter.notify,
            at=int(time.time() if letter.at is None else letter.at),
        )
        with self._server.database.transaction():
            self.of(writer).remember(message_id, sent)
            shared = self._shared(writer, chat, letter.message) if isinstance(chat, Group) else None
            written = [
                f"{reader.phone}:{device.number}"
                for reader in self._readers(writer, chat)
                for device in list(reader.devices.values())
                if self._write(writer, reader, device, message_id, sent, shared)
            ]
        return {"id": message_id, "devices": written}

    def send_peer(self, writer: Handset, device: LinkedDevice, message: Message) -> bool:
        """Have a phone write its own device something for no human; False when it cannot yet."""
        try:
            enc = self._pairwise(writer, writer, device, message)
        except SignalError:
            return False
        attrs: Attributes = {"from": writer.jid(), "type": "text", "category": "peer"}
        attrs |= {"id": secrets.token_hex(16).upper(), "t": str(int(time.time()))}
        # Nobody's message: it stands in no list.
        self._server.mail.post(writer.phone, device.number, Node("message", attrs, [enc]))
        return True

    def send_again(self, writer: Handset, reader: Handset, device: LinkedDevice, receipt: Node) -> None:
        """Encrypt a message anew for a device that could not read it."""
        retry = receipt.child("retry") or Node("retry")
        message_id, count = retry.get("id"), retry.get("count") or "1"
        sent = self.of(writer).remembered(message_id, _Sent)
        if sent is None or not count.isdecimal() or int(count) > _MAX_RETRIES:
            return
        source, message = self._source(writer, sent), Message.FromString(sent.message)
        if isinstance(source.chat, Group):
            _put_key(message, source.chat, self.of(writer).distribution(str(source.chat.jid)))
        try:
            self._begin_anew(writer, reader, device, receipt, is_first=int(count) <= 1)
            enc = self._pairwise(writer, reader, device, self._for(reader, source, message))
        except SignalError as error:
            log.info("%s cannot write to %s again: %s", writer.phone, reader.phone, error)
            return
        enc.attrs["count"] = count
        self._post(source, reader, device, message_id, sent, [enc])

    def _begin_anew(
        self, writer: Handset, reader: Handset, device: LinkedDevice, receipt: Node, *, is_first: bool
    ) -> None:
        """Begin another session if the device sent keys for it, or has failed with the present one twice."""
        keys, registration = receipt.child("keys"), receipt.child("registration")
        bundle = None
        if keys is not None:
            bundle = read_keys(keys, registration.data if registration else b"")
        elif not is_first:
            bundle = self._server.hand_out(reader, device)
        if bundle is not None:
            self.of(writer).begin_anew(f"{reader.phone}:{device.number}", bundle)

    def has_sent(self, writer: Handset, message_id: str) -> bool:
        """Tell whether a phone wrote a message."""
        return self.of(writer).remembered(message_id, _Sent) is not None

    def read(self, reader: Handset, account: Handset, ids: list[str], kind: str) -> dict[str, Any]:
        """Have a reader tell an account's devices that it has read, or played, what they sent."""
        told = []
        for message_id in ids:
            device, chat = self._server.outbox.device_of(account.phone, message_id, reader.phone)
            if device in account.devices:
                self._post_receipt(self._answering(reader, account, chat), account, device, message_id, kind)
                told.append(message_id)
        return {"ids": told}

    # Reading

    def receive(self, source: Source, reader: Handset, message_id: str, encs: list[Node]) -> None:
        """Have a phone read what a client sent it."""
        try:
            message = self._decrypted(self.of(reader), source, encs)
        except SignalError as error:
            sender = source.handset.phone, source.device
            self._server.outbox.note_unread(*sender, message_id, reader.phone, error.reason)
            # What was read before is not asked for, also when it is another message in truth.
            if error.reason != "old":
                self._ask_again(source, reader, message_id)
            return
        if message is None:
            return
        is_own = reader is source.handset
        if is_own and message.HasField("deviceSentMessage"):
            message = message.deviceSentMessage.message
        described = contents.describe(message)
        if described is not None and (not is_own or source.chat is reader):
            chat = source.chat.jid if isinstance(source.chat, Group) else source.chat.jid()
            entry = {"chat": str(chat), **described}
            self._server.outbox.note(source.handset.phone, source.device, message_id, reader.phone, entry)
        if not is_own and self._server.faults.gives_receipts:
            answering = Source(handset=reader, chat=self._other(source), is_lid=source.is_lid)
            self._post_receipt(answering, source.handset, source.device, message_id, "")

    def _decrypted(self, correspondent: Correspondent, source: Source, encs: list[Node]) -> Message | None:
        message = None
        for enc in encs:
            if enc.get("type") == "skmsg" and isinstance(source.chat, Group):
                plaintext = correspondent.read_group(str(source.chat.jid), source.name, enc.data)
            else:
                plaintext = correspondent.read(source.name, enc.get("type"), enc.data)
            read = contents.unpadded(plaintext)
            if isinstance(source.chat, Group) and read.HasField("senderKeyDistributionMessage"):
                told = read.senderKeyDistributionMessage.axolotlSenderKeyDistributionMessage
                correspondent.hear(str(source.chat.jid), source.name, told)
            message = read
        return message

    def _ask_again(self, source: Source, reader: Handset, message_id: str) -> None:
        correspondent = self.of(reader)
        count = correspondent.count_retry(message_id)
        if count > _MAX_RETRIES:
            return
        now = str(int(time.time()))
        content = [
            Node("retry", {"count": str(count), "id": message_id, "t": now, "v": "1"}),
            Node("registration", {}, correspondent.registration_id.to_bytes(4, "big")),
        ]
        if count > 1:
            content.append(Node("keys", {}, bundle_nodes(correspondent.bundle())[1:]))
        asking = Source(handset=reader, chat=self._other(source), is_lid=source.is_lid)
        self._post_receipt(asking, source.handset, source.device, message_id, "retry", content)

    # Stanzas

    def _post_receipt(
        self,
        source: Source,
        reader: Handset,
        device: int,
        message_id: str,
        kind: str,
        content: list[Node] | None = None,
    ) -> None:
        attrs = {**source.attributes(reader), "id": message_id, "t": str(int(time.time()))}
        if kind:
            attrs["type"] = kind
        self._server.mail.post(
            reader.phone, device, Node("receipt", attrs, content), sender=source.handset.phone
        )

    def _write(
        self,
        writer: Handset,
        reader: Handset,
        device: LinkedDevice,
        message_id: str,
        sent: _Sent,
        shared: _Shared | None,
    ) -> bool:
        source = self._source(writer, sent)
        try:
            if shared is not None:
                encs = self._with_key(writer, reader, device, shared)
            else:
                message = self._for(reader, source, Message.FromString(sent.message))
                encs = [self._pairwise(writer, reader, device, message)]
        except SignalError:
            # It has uploaded no keys yet, so nobody can write to it.
            return False
        self._post(source, reader, device, message_id, sent, encs)
        return True

    def _post(
        self,
        source: Source,
        reader: Handset,
        device: LinkedDevice,
        message_id: str,
        sent: _Sent,
        encs: list[Node],
    ) -> None:
        message = Message.FromString(sent.message)
        (type_, media_type), edit = contents.stanza_type(message), contents.edit_type(message)
        for enc in encs:
            if media_type is not None:
                enc.attrs["mediatype"] = media_type
            if edit is not None or type_ == "reaction":
                enc.attrs["decrypt-fail"] = "hide"
        attrs = {**source.attributes(reader), "id": message_id, "t": str(sent.at), "type": type_}
        if sent.notify:
            attrs["notify"] = sent.notify
        if edit is not None:
            attrs["edit"] = edit
        self._server.mail.post(
            reader.phone, device.number, Node("message", attrs, encs), sender=source.handset.phone
        )

    def _pairwise(self, writer: Handset, reader: Handset, device: LinkedDevice, message: Message) -> Node:
        kind, data = self.of(writer).write(
            f"{reader.phone}:{device.number}",
            contents.padded(message),
            identity=device.identity_key,
            bundle=lambda: self._server.hand_out(reader, device),
        )
        return Node("enc", {"v": "2", "type": kind}, data)

    def _shared(self, writer: Handset, group: Group, message: Message) -> _Shared:
        # Told as it is before this message, else nobody could read it.
        key = self.of(writer).distribution(str(group.jid))
        data = self.of(writer).write_group(str(group.jid), contents.padded(message))
        return _Shared(group=group, enc=Node("enc", {"v": "2", "type": "skmsg"}, data), key=key)

    def _with_key(
        self, writer: Handset, reader: Handset, device: LinkedDevice, shared: _Shared
    ) -> list[Node]:
        correspondent, group = self.of(writer), str(shared.group.jid)
        # Another device under an old number is another one.
        name = f"{reader.phone}:{device.number}:{device.identity_key[:8].hex()}"
        if correspondent.has_told(group, name):
            return [shared.enc]
        telling = Message()
        _put_key(telling, shared.group, shared.key)
        enc = self._pairwise(writer, reader, device, telling)
        correspondent.note_told(group, name)
        return [enc, shared.enc]

    def _for(self, reader: Handset, source: Source, message: Message) -> Message:
        if isinstance(source.chat, Group) or reader is not source.handset:
            return message
        destination = str(address(source.chat, is_lid=source.is_lid))
        return Message(deviceSentMessage={"destinationJID": destination, "message": message})

    def _readers(self, writer: Handset, chat: Group | Handset) -> list[Handset]:
        if isinstance(chat, Group):
            return [self._server.ledger.handset(phone) for phone in chat.members]
        return [chat] if chat is writer else [chat, writer]

    def _source(self, writer: Handset, sent: _Sent) -> Source:
        ledger = self._server.ledger
        chat = ledger.groups[sent.chat] if sent.is_group else ledger.handset(sent.chat)
        return Source(handset=writer, chat=chat, is_lid=sent.is_lid, is_named_twice=sent.is_named_twice)

    def _answering(self, reader: Handset, account: Handset, chat: str) -> Source:
        group = self._server.groups.find(chat) if chat.endswith("@g.us") else None
        return Source(handset=reader, chat=group or account, is_lid=group.is_lid if group else True)

    def _other(self, source: Source) -> Group | Handset:
        return source.chat if isinstance(source.chat, Group) else source.handset


def _put_key(message: Message, group: Group, key: bytes) -> None:
    message.senderKeyDistributionMessage.groupID = str(group.jid)
    message.senderKeyDistributionMessage.axolotlSenderKeyDistributionMessage = key

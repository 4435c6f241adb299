"""A message as the rest of the project knows it, made from what the client library hands over.

The one rule: every kind of message becomes one, with its caption at least; what carries nothing for a human
(keys, receipts of edits, protocol chatter) becomes none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

PHONE_SERVER = "s.whatsapp.net"
LID_SERVER = "lid"

Kind = Literal[
    "text",
    "reaction",
    "image",
    "video",
    "audio",
    "document",
    "sticker",
    "location",
    "contact",
    "poll",
    "edited",
    "revoked",
    "other",
]


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """One message or reaction. JIDs come without a device part; times are seconds since the epoch.

    Attributes:
        id: WhatsApp's id, given by the sender; unique within a chat.
        chat: JID of the other person or of the group; by phone number where it is known.
        sender: phone JID of who wrote it, None while only the LID is known.
        sender_lid: LID of who wrote it.
        push_name: what the sender calls itself.
        from_me: written by the account itself, on its phone or another device.
        text: text, or caption; the emoji of a reaction, empty when the reaction was taken back.
        quoted_id: the message that is answered.
        target_id: the message that a reaction, a change or a revocation is about.
    """

    id: str
    chat: str
    sender: str | None
    sender_lid: str | None
    push_name: str | None
    from_me: bool
    is_group: bool
    kind: Kind
    text: str | None
    quoted_id: str | None
    target_id: str | None
    time: int


# Fields of WhatsApp's Message (waE2E) that hold one of something, in the order in which they are looked for.
_MEDIA: tuple[tuple[str, Kind], ...] = (
    ("imageMessage", "image"),
    ("videoMessage", "video"),
    ("ptvMessage", "video"),
    ("audioMessage", "audio"),
    ("documentMessage", "document"),
    ("stickerMessage", "sticker"),
    ("lottieStickerMessage", "sticker"),
    ("locationMessage", "location"),
    ("liveLocationMessage", "location"),
    ("contactMessage", "contact"),
    ("contactsArrayMessage", "contact"),
    ("pollCreationMessage", "poll"),
    ("pollCreationMessageV2", "poll"),
    ("pollCreationMessageV3", "poll"),
)
# Where a human's words stand in them.
_CAPTIONS = ("caption", "name", "displayName", "fileName")
# What comes beside a message and is none.
_CHATTER = frozenset(
    {
        "senderKeyDistributionMessage",
        "fastRatchetKeySenderKeyDistributionMessage",
        "messageContextInfo",
        "protocolMessage",
        "pollUpdateMessage",
        "encReactionMessage",
        "keepInChatMessage",
        "pinInChatMessage",
    }
)
MAX_TEXT = 65_536
"""What of a text is kept; WhatsApp's own programs write no longer ones."""
# ProtocolMessage.Type (waE2E.proto).
_REVOKE = 0
_EDIT = 14


def incoming(event: Any) -> Incoming | None:
    """Return the message in the library's event, None when there is nothing in it for a human.

    Args:
        event: neonize's `Message` event.
    """
    content = _content(event.Message)
    if content is None:
        return None
    kind, text, quoted_id, target_id = content
    info = event.Info
    source = info.MessageSource
    sender, sender_lid = addresses(source.Sender, source.SenderAlt)
    return Incoming(
        id=info.ID,
        chat=_chat(source, sender),
        sender=sender,
        sender_lid=sender_lid,
        push_name=info.Pushname or None,
        from_me=source.IsFromMe,
        is_group=source.IsGroup,
        kind=kind,
        text=text[:MAX_TEXT] if text is not None else None,
        quoted_id=quoted_id,
        target_id=target_id,
        time=_seconds(info.Timestamp),
    )


def _content(message: Any) -> tuple[Kind, str | None, str | None, str | None] | None:
    """Return kind, text, the id that is quoted and the one that is meant; None without content."""
    if message.HasField("conversation"):
        return "text", message.conversation, None, None
    if message.HasField("extendedTextMessage"):
        extended = message.extendedTextMessage
        return "text", extended.text, extended.contextInfo.stanzaID or None, None
    if message.HasField("reactionMessage"):
        return "reaction", message.reactionMessage.text, None, message.reactionMessage.key.ID
    if message.HasField("protocolMessage"):
        return _afterwards(message.protocolMessage)
    for field, kind in _MEDIA:
        if message.HasField(field):
            media = getattr(message, field)
            return kind, _caption(media), _quoted(media), None
    if any(field.name not in _CHATTER for field, _ in message.ListFields()):
        return "other", None, None, None
    return None


def _afterwards(change: Any) -> tuple[Kind, str | None, str | None, str | None] | None:
    """Return what became of an earlier message; None for the rest of the protocol's chatter."""
    target_id = change.key.ID
    if not target_id:
        return None
    if change.type == _REVOKE:
        return "revoked", None, None, target_id
    edited = _content(change.editedMessage) if change.type == _EDIT else None
    return ("edited", edited[1], None, target_id) if edited is not None else None


def _caption(media: Any) -> str | None:
    known = media.DESCRIPTOR.fields_by_name
    words = (getattr(media, name) for name in _CAPTIONS if name in known)
    return next((text for text in words if text), None)


def _quoted(media: Any) -> str | None:
    if "contextInfo" not in media.DESCRIPTOR.fields_by_name:
        return None
    return media.contextInfo.stanzaID or None


def _chat(source: Any, sender: str | None) -> str:
    """Return the chat, by phone number where the library knows both addresses."""
    chat = _address(source.Chat)
    if source.IsGroup or source.Chat.Server != LID_SERVER:
        return chat
    if source.IsFromMe:
        other, _ = addresses(source.Chat, source.RecipientAlt)
        return other or chat
    return sender or chat


def addresses(*jids: Any) -> tuple[str | None, str | None]:
    """Return the phone JID and the LID among some addresses of one person."""
    by_server = dict(_by_server(jids))
    return by_server.get(PHONE_SERVER), by_server.get(LID_SERVER)


def _by_server(jids: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    for jid in jids:
        if jid.User:
            yield jid.Server, _address(jid)


def _address(jid: Any) -> str:
    return f"{jid.User}@{jid.Server}"


def _seconds(timestamp: int) -> int:
    """Return seconds; the library hands over milliseconds in some versions."""
    return timestamp // 1000 if timestamp > 100_000_000_000 else timestamp

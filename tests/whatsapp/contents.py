"""What stands in a message once it is decrypted: made for those who write, described for those who look.

One rule: a description is plain JSON, and it tells what the other end really got, not what was meant.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from tests.whatsapp.handset import Refused
from tests.whatsapp.protobufs import Message
from tests.whatsapp.signal.curve import SignalError

# The attribute `mediatype` of each kind; a message of a kind that stands here is of the type `media`.
_MEDIA = {
    "imageMessage": "image",
    "videoMessage": "video",
    "ptvMessage": "ptv",
    "audioMessage": "audio",
    "documentMessage": "document",
    "documentWithCaptionMessage": "document",
    "stickerMessage": "sticker",
    "contactMessage": "vcard",
    "contactsArrayMessage": "contact_array",
    "locationMessage": "location",
    "liveLocationMessage": "livelocation",
}
_MIME_TYPES = {"image": "image/jpeg", "video": "video/mp4", "audio": "audio/ogg", "sticker": "image/webp"}
_CAPTIONED = ("image", "video", "document")
KINDS = (*_MIME_TYPES, "document", "contact", "location")
# What goes along with a message and is none by itself.
_BESIDE = {"senderKeyDistributionMessage", "messageContextInfo", "deviceSentMessage"}
_WRAPPERS = (
    "ephemeralMessage",
    "viewOnceMessage",
    "viewOnceMessageV2",
    "documentWithCaptionMessage",
    "editedMessage",
)
_MAX_PADDING = 15
# Values of the attribute `edit`.
_EDIT, _PIN, _SENDER_REVOKE, _ADMIN_REVOKE = "1", "2", "7", "8"


@dataclass(frozen=True, kw_only=True, slots=True)
class Quoted:
    """The message that another one answers: its id and who wrote it."""

    id: str
    author: str


def text(words: str, *, quoted: Quoted | None = None, is_extended: bool = False) -> Message:
    """Make a text message; one with a quote is always an extended one."""
    if quoted is None and not is_extended:
        return Message(conversation=words)
    message = Message(extendedTextMessage={"text": words})
    if quoted is not None:
        context = message.extendedTextMessage.contextInfo
        context.stanzaID, context.participant = quoted.id, quoted.author
        context.quotedMessage.conversation = "…"
    return message


def other(kind: str, *, caption: str | None = None) -> Message:
    """Make a message of another kind, whose media exist nowhere.

    Raises:
        Refused: the kind is unknown, or has no caption.
    """
    if kind not in KINDS:
        raise Refused("malformed", f"the kinds are: text, {', '.join(KINDS)}")
    if caption is not None and kind not in _CAPTIONED:
        raise Refused("malformed", f"a message of the kind {kind} has no caption")
    if kind == "contact":
        card = "BEGIN:VCARD\nVERSION:3.0\nFN:Grace Hopper\nEND:VCARD"
        return Message(contactMessage={"displayName": "Grace Hopper", "vcard": card})
    if kind == "location":
        return Message(locationMessage={"degreesLatitude": 52.52, "degreesLongitude": 13.4})
    message = Message()
    media = getattr(message, f"{kind}Message")
    media.URL = f"https://mmg.whatsapp.net/v/simulated-{secrets.token_hex(8)}.enc"
    media.mimetype = _MIME_TYPES.get(kind, "application/pdf")
    media.fileLength, media.mediaKey = 1000, secrets.token_bytes(32)
    media.fileSHA256, media.fileEncSHA256 = secrets.token_bytes(32), secrets.token_bytes(32)
    if kind == "document":
        media.fileName = "simulated.pdf"
    if caption is not None:
        media.caption = caption
    return message


def reaction(emoji: str, *, target: str, chat: str, is_own: bool, author: str | None = None) -> Message:
    """Make a reaction to the message `target`; without an emoji it takes an earlier one back."""
    key: dict[str, Any] = {"remoteJID": chat, "fromMe": is_own, "ID": target}
    if author is not None:
        key["participant"] = author
    now = round(time.time() * 1000)
    return Message(reactionMessage={"key": key, "text": emoji, "senderTimestampMS": now})


def from_json(data: Any) -> Message:
    """Read a message in protobuf's JSON form.

    Raises:
        Refused: it is none.
    """
    try:
        return json_format.ParseDict(data, Message())
    except json_format.ParseError as error:
        raise Refused("malformed", f"this is no message: {error}") from error


def stanza_type(message: Message) -> tuple[str, str | None]:
    """Return the attributes `type` and `mediatype` that a message travels with."""
    field = _field(message)
    if field == "reactionMessage":
        return "reaction", None
    if field in ("pollCreationMessage", "pollUpdateMessage", "pollCreationMessageV3"):
        return "poll", None
    return ("media", _MEDIA[field]) if field in _MEDIA else ("text", None)


def edit_type(message: Message) -> str | None:
    """Return the attribute `edit` of a message that changes another one; None of any other."""
    field = _field(message)
    if field == "editedMessage":
        return edit_type(message.editedMessage.message)
    if field == "pinInChatMessage":
        return _PIN
    if field == "reactionMessage":
        return None if message.reactionMessage.text else _SENDER_REVOKE
    if field == "protocolMessage":
        kind, key = message.protocolMessage.type, message.protocolMessage.key
        if kind == message.protocolMessage.REVOKE:
            return _SENDER_REVOKE if key.fromMe else _ADMIN_REVOKE
        if kind == message.protocolMessage.MESSAGE_EDIT:
            return _EDIT
    return None


def _field(message: Message) -> str | None:
    return next((field.name for field, _ in message.ListFields() if field.name not in _BESIDE), None)


def describe(message: Message) -> dict[str, Any] | None:
    """Return what a message says; None when it only carries keys."""
    field = _field(message)
    if field is None:
        return None
    described: dict[str, Any] = {"kind": field.removesuffix("Message"), "text": None}
    content = getattr(message, field)
    if field in _WRAPPERS:
        inner = describe(content.message)
        return {**inner, "wrapped": described["kind"]} if inner else described
    if field == "conversation":
        return {"kind": "text", "text": content}
    if field == "reactionMessage":
        described |= {"text": content.text, "reacts_to": content.key.ID}
    elif field == "extendedTextMessage":
        described |= {"kind": "text", "text": content.text}
    elif "caption" in content.DESCRIPTOR.fields_by_name and content.caption:
        described["caption"] = content.caption
    if "contextInfo" in content.DESCRIPTOR.fields_by_name and content.contextInfo.stanzaID:
        described["quoted"] = content.contextInfo.stanzaID
    return described


def padded(message: Message) -> bytes:
    """Return a message's bytes with WhatsApp's padding: 1 to 15 bytes that say how many they are."""
    count = 1 + secrets.randbelow(_MAX_PADDING)
    return bytes(message.SerializeToString()) + bytes([count]) * count


def unpadded(data: bytes) -> Message:
    """Read a message behind which there is padding.

    Raises:
        SignalError: there is none, or no message.
    """
    if not data or not 1 <= data[-1] <= len(data):
        raise SignalError("malformed", "the padding is wrong")
    try:
        return Message.FromString(data[: -data[-1]])
    except DecodeError as error:
        raise SignalError("malformed", "no message") from error

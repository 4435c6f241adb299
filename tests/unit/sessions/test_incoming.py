"""Every kind of message becomes one of ours, made from the library's own protobufs."""

from __future__ import annotations

from typing import Any

import pytest

from sessions.incoming import MAX_TEXT, Incoming, incoming
from tests.unit.sessions.library_protobufs import e2e, pb

PHONE = pb.JID(User="491701234567", Server="s.whatsapp.net", Device=3)
LID = pb.JID(User="123456789012345", Server="lid", Device=3)
GROUP = pb.JID(User="120363000000000001", Server="g.us")


def an_event(content: dict[str, Any] | None = None, **source: Any) -> Any:
    source = {"Chat": PHONE, "Sender": PHONE, "IsFromMe": False, "IsGroup": False} | source
    return pb.Message(
        Info=pb.MessageInfo(
            MessageSource=pb.MessageSource(**source), ID="3EB0", Pushname="Älice", Timestamp=1_790_000_000
        ),
        Message=e2e.Message(**({"conversation": "hello"} if content is None else content)),
    )


def read(content: dict[str, Any] | None = None, **source: Any) -> Incoming:
    message = incoming(an_event(content, **source))
    assert message is not None
    return message


def test_text_with_everything_around_it() -> None:
    assert read() == Incoming(
        id="3EB0",
        chat="491701234567@s.whatsapp.net",
        sender="491701234567@s.whatsapp.net",
        sender_lid=None,
        push_name="Älice",
        from_me=False,
        is_group=False,
        kind="text",
        text="hello",
        quoted_id=None,
        target_id=None,
        time=1_790_000_000,
    )


def test_answer_names_what_it_answers() -> None:
    quoting = e2e.ExtendedTextMessage(text="yes", contextInfo=e2e.ContextInfo(stanzaID="3EAA"))
    message = read({"extendedTextMessage": quoting})
    assert (message.kind, message.text, message.quoted_id) == ("text", "yes", "3EAA")


@pytest.mark.parametrize("emoji", ["\u2b50", ""])
def test_reaction_names_what_it_is_about(emoji: str) -> None:
    reaction = e2e.ReactionMessage(text=emoji)
    reaction.key.ID = "3EAA"
    message = read({"reactionMessage": reaction})
    assert (message.kind, message.text, message.target_id) == ("reaction", emoji, "3EAA")


MEDIA = [
    ({"imageMessage": e2e.ImageMessage(caption="a tower")}, "image", "a tower"),
    ({"videoMessage": e2e.VideoMessage()}, "video", None),
    ({"audioMessage": e2e.AudioMessage(seconds=3)}, "audio", None),
    ({"documentMessage": e2e.DocumentMessage(fileName="bill.pdf")}, "document", "bill.pdf"),
    ({"stickerMessage": e2e.StickerMessage()}, "sticker", None),
    ({"locationMessage": e2e.LocationMessage(name="here")}, "location", "here"),
    ({"contactMessage": e2e.ContactMessage(displayName="Bob")}, "contact", "Bob"),
    ({"pollCreationMessageV3": e2e.PollCreationMessage(name="when?")}, "poll", "when?"),
    ({"orderMessage": e2e.OrderMessage()}, "other", None),
]


@pytest.mark.parametrize(("content", "kind", "text"), MEDIA, ids=[kind for _, kind, _ in MEDIA])
def test_other_kinds_have_their_caption(content: dict[str, Any], kind: str, text: str | None) -> None:
    message = read(content)
    assert (message.kind, message.text) == (kind, text)


def test_revocation_and_change_name_the_message() -> None:
    revoked = e2e.ProtocolMessage(type=e2e.ProtocolMessage.REVOKE)
    revoked.key.ID = "3EAA"
    message = read({"protocolMessage": revoked})
    assert (message.kind, message.target_id) == ("revoked", "3EAA")
    edited = e2e.ProtocolMessage(
        type=e2e.ProtocolMessage.MESSAGE_EDIT, editedMessage=e2e.Message(conversation="better")
    )
    edited.key.ID = "3EAA"
    message = read({"protocolMessage": edited})
    assert (message.kind, message.text, message.target_id) == ("edited", "better", "3EAA")


CHATTER: list[dict[str, Any]] = [
    {},
    {"senderKeyDistributionMessage": e2e.SenderKeyDistributionMessage(groupID="g")},
    {"messageContextInfo": e2e.MessageContextInfo()},
    {"protocolMessage": e2e.ProtocolMessage(type=e2e.ProtocolMessage.APP_STATE_SYNC_KEY_SHARE)},
    {"protocolMessage": e2e.ProtocolMessage(type=e2e.ProtocolMessage.HISTORY_SYNC_NOTIFICATION)},
]


@pytest.mark.parametrize("content", CHATTER, ids=lambda one: next(iter(one), "empty"))
def test_what_carries_nothing_for_a_human_is_no_message(content: dict[str, Any]) -> None:
    assert incoming(an_event(content)) is None


def test_keys_beside_a_text_do_not_hide_it() -> None:
    keys = e2e.SenderKeyDistributionMessage(groupID="g")
    assert read({"conversation": "hello", "senderKeyDistributionMessage": keys}).text == "hello"


@pytest.mark.parametrize(("one", "other"), [(PHONE, LID), (LID, PHONE)])
def test_both_addresses_of_a_sender_are_known_whichever_comes_first(one: Any, other: Any) -> None:
    message = read(Chat=one, Sender=one, SenderAlt=other)
    assert message.sender == "491701234567@s.whatsapp.net"
    assert message.sender_lid == "123456789012345@lid"
    assert message.chat == "491701234567@s.whatsapp.net"


def test_a_sender_without_a_known_number() -> None:
    message = read(Chat=LID, Sender=LID)
    assert (message.sender, message.chat) == (None, "123456789012345@lid")


def test_group_is_the_chat_and_its_member_the_sender() -> None:
    message = read(Chat=GROUP, Sender=PHONE, IsGroup=True)
    assert (message.chat, message.is_group) == ("120363000000000001@g.us", True)


def test_own_words_go_to_the_chat_with_the_other() -> None:
    me = pb.JID(User="491700000000", Server="s.whatsapp.net")
    message = read(Chat=LID, Sender=me, RecipientAlt=PHONE, IsFromMe=True)
    assert (message.chat, message.from_me) == ("491701234567@s.whatsapp.net", True)


def test_text_is_bounded_and_time_is_in_seconds() -> None:
    event = an_event({"conversation": "x" * (MAX_TEXT + 5)})
    event.Info.Timestamp = 1_790_000_000_123
    message = incoming(event)
    assert message is not None
    assert (len(message.text or ""), message.time) == (MAX_TEXT, 1_790_000_000)

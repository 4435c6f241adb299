"""What others write reaches the unmodified neonize, which decrypts it and acknowledges it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.whatsapp.telling import address_of, send, text_of
from tests.whatsapp.client import SimulatorError
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.bare import BareClient
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
GRACE = "491511111111"
ALAN = "491522222222"


@pytest.fixture
def grace(simulator: Simulator) -> dict[str, Any]:
    return simulator.contact(GRACE, "Grace")


def acknowledged(simulator: Simulator, count: int) -> list[dict[str, Any]]:
    return simulator.wait_for(
        lambda each: done if len(done := each.acknowledged(PHONE)) >= count else [],
        what=f"{count} acknowledged messages",
    )


def test_first_and_later_text_arrive(simulator: Simulator, linked: BareClient, grace: dict[str, Any]) -> None:
    texts = ["the first", "the second: äöü 🐈", "3\n4"]
    ids = [simulator.deliver(PHONE, GRACE, text)["id"] for text in texts]
    messages = linked.collect("Message", 3)
    assert texts == [text_of(message) for message in messages]
    assert ids == [message["Info"]["ID"] for message in messages]
    source = messages[0]["Info"]["MessageSource"]
    assert (grace["lid"], grace["jid"]) == (address_of(source["Sender"]), address_of(source["SenderAlt"]))
    assert (messages[0]["Info"]["Pushname"], messages[0]["Info"]["Type"]) == ("Grace", "text")
    done = acknowledged(simulator, 3)
    assert [(message_id, "inactive") for message_id in ids] == [(each["id"], each["how"]) for each in done]
    assert simulator.backlog(PHONE) == []


@pytest.mark.parametrize("addressing", ["lid", "pn"])
@pytest.mark.parametrize("one_address", [False, True])
def test_either_address_of_a_sender_is_understood(
    simulator: Simulator, linked: BareClient, grace: dict[str, Any], addressing: str, one_address: bool
) -> None:
    for text in ("the first", "the second"):
        simulator.deliver(PHONE, GRACE, text, addressing=addressing, one_address=one_address)
        message = linked.wait("Message")["data"]
        sender = grace["lid" if addressing == "lid" else "jid"]
        assert (text, sender) == (text_of(message), address_of(message["Info"]["MessageSource"]["Sender"]))


def test_sender_changes_the_address_and_the_session_goes_on(
    simulator: Simulator, linked: BareClient, grace: dict[str, Any]
) -> None:
    for number, addressing in enumerate(("pn", "lid", "pn", "lid")):
        simulator.deliver(PHONE, GRACE, str(number), addressing=addressing)
    assert [text_of(message) for message in linked.collect("Message", 4)] == ["0", "1", "2", "3"]
    assert {"inactive"} == {each["how"] for each in acknowledged(simulator, 4)}


def test_quote_reaction_and_caption_arrive(simulator: Simulator, linked: BareClient) -> None:
    first = simulator.deliver(PHONE, GRACE, "look")["id"]
    simulator.deliver(PHONE, GRACE, "answer", quoted="3EB0AAAA")
    simulator.react(PHONE, GRACE, "3EB0AAAA", "👍")
    simulator.react(PHONE, GRACE, first, "")
    simulator.deliver(PHONE, GRACE, kind="image", caption="a picture")
    simulator.deliver(PHONE, GRACE, kind="location")
    _, answer, thumb, taken_back, picture, place = linked.collect("Message", 6)
    assert answer["Message"]["extendedTextMessage"]["contextInfo"]["stanzaID"] == "3EB0AAAA"
    assert (thumb["Info"]["Type"], thumb["Message"]["reactionMessage"]["text"]) == ("reaction", "👍")
    assert {"fromMe": False, "ID": "3EB0AAAA"}.items() <= thumb["Message"]["reactionMessage"]["key"].items()
    assert (
        taken_back["Message"]["reactionMessage"]["text"],
        taken_back["Message"]["reactionMessage"]["key"]["fromMe"],
    ) == ("", True)
    assert picture["Message"]["imageMessage"]["caption"] == "a picture"
    assert (picture["Info"]["Type"], picture["Info"]["MediaType"]) == ("media", "image")
    assert place["Message"]["locationMessage"]["degreesLatitude"] == 52.52


def test_change_of_a_message_is_told_as_one(simulator: Simulator, linked: BareClient) -> None:
    first = simulator.deliver(PHONE, GRACE, "helo")["id"]
    key = {"remoteJID": "1@lid", "fromMe": True, "ID": first}
    edit = {"key": key, "type": "MESSAGE_EDIT", "editedMessage": {"conversation": "hello"}}
    simulator.deliver(PHONE, GRACE, message={"editedMessage": {"message": {"protocolMessage": edit}}})
    simulator.deliver(PHONE, GRACE, message={"protocolMessage": {"key": key, "type": "REVOKE"}})
    _, changed, taken_back = linked.collect("Message", 3)
    assert (changed["Info"]["Edit"], changed["IsEdit"]) == ("1", True)
    assert changed["Message"]["protocolMessage"]["editedMessage"]["conversation"] == "hello"
    assert ("7", first) == (taken_back["Info"]["Edit"], taken_back["Message"]["protocolMessage"]["key"]["ID"])


def test_any_message_can_be_given_as_protobuf(simulator: Simulator, linked: BareClient) -> None:
    poll = {"pollCreationMessage": {"name": "Lunch?", "options": [{"optionName": "yes"}]}}
    simulator.deliver(PHONE, GRACE, message=poll)
    message = linked.wait("Message")["data"]
    assert (message["Info"]["Type"], message["Message"]["pollCreationMessage"]["name"]) == ("poll", "Lunch?")


@pytest.mark.parametrize("addressing", ["lid", "pn"])
def test_what_the_own_phone_writes_arrives_as_from_me(
    simulator: Simulator, linked: BareClient, grace: dict[str, Any], addressing: str
) -> None:
    simulator.echo(PHONE, GRACE, "from my phone", addressing=addressing)
    message = linked.wait("Message")["data"]
    source = message["Info"]["MessageSource"]
    assert (source["IsFromMe"], text_of(message)) == (True, "from my phone")
    assert grace["lid" if addressing == "lid" else "jid"] == address_of(source["Chat"])
    assert [each["how"] for each in acknowledged(simulator, 1)] == ["sender"]


def test_backlog_comes_after_the_login(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    simulator.deliver(PHONE, GRACE, "while it was there")
    linked.wait("Message")
    acknowledged(simulator, 1)
    linked.kill()
    simulator.wait_offline(PHONE)
    texts = [f"while it was away {number}" for number in range(20)]
    for number, text in enumerate(texts):
        simulator.deliver(PHONE, GRACE if number % 2 else ALAN, text, at=1_700_000_000 + number)
    assert len(simulator.backlog(PHONE)) == 20
    again = start_client()
    preview = again.wait("OfflineSyncPreview")["data"]
    assert (preview["Total"], preview["Message"]) == (20, 20)
    messages = again.collect("Message", 20)
    assert texts == [text_of(message) for message in messages]
    assert messages[0]["Info"]["Timestamp"] == "1700000000000"
    assert again.wait("OfflineSyncCompleted")["data"]["Count"] == 20
    assert len(acknowledged(simulator, 21)) == 21
    assert simulator.backlog(PHONE) == []


def test_backlog_outlives_the_simulator(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    linked.kill()
    simulator.wait_offline(PHONE)
    simulator.deliver(PHONE, GRACE, "before")
    simulator.kill()
    simulator.restart()
    simulator.deliver(PHONE, GRACE, "after")
    messages = start_client().collect("Message", 2)
    assert [text_of(message) for message in messages] == ["before", "after"]


def test_what_is_not_acknowledged_comes_again(simulator: Simulator, linked: BareClient) -> None:
    simulator.halfopen(PHONE)
    sent = simulator.deliver(PHONE, GRACE, "into the void")
    assert [each["id"] for each in simulator.backlog(PHONE)] == [sent["id"]]
    simulator.drop(PHONE)
    assert text_of(linked.wait("Message")["data"]) == "into the void"
    acknowledged(simulator, 1)


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_messages_out_of_order_are_all_read(simulator: Simulator, linked: BareClient, order: str) -> None:
    simulator.deliver(PHONE, GRACE, "the first")
    linked.wait("Message")
    acknowledged(simulator, 1)
    simulator.hold(PHONE)
    texts = {f"text {number}" for number in range(50)}
    for text in sorted(texts):
        simulator.deliver(PHONE, GRACE, text)
    assert simulator.hold(PHONE, False, order=order)["sent"] == 50
    assert texts == {text_of(message) for message in linked.collect("Message", 50)}
    assert {"inactive"} == {each["how"] for each in acknowledged(simulator, 51)}


def test_message_that_comes_twice_is_told_once(simulator: Simulator, linked: BareClient) -> None:
    first = simulator.deliver(PHONE, GRACE, "once")["id"]
    assert simulator.redeliver(PHONE, first)["sent"] == 1
    simulator.deliver(PHONE, GRACE, "and the next")
    assert [text_of(message) for message in linked.collect("Message", 2)] == ["once", "and the next"]


def test_slow_client_acknowledges_what_its_channel_holds_and_loses_it_when_killed(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    """What stands in this project's manual about messages that a kill loses; a new library may lose fewer."""
    linked.tell("slow 1000")
    linked.wait("slow")
    ids = [simulator.deliver(PHONE, GRACE, f"text {number}")["id"] for number in range(150)]
    # One is being looked at, a hundred are in the channel; one more was decrypted.
    assert ids[:101] == [each["id"] for each in acknowledged(simulator, 101)]
    linked.tell("active")
    linked.wait("active")
    assert len(simulator.acknowledged(PHONE)) == 101
    linked.kill()
    told = [each["Info"]["ID"] for each in start_client().collect("Message", 48)]
    assert ids[102:] == told
    assert ids == [each["id"] for each in acknowledged(simulator, 150)]


def lose_sessions(client: BareClient) -> None:
    """Delete the Signal sessions in a store, as an old backup of it would."""
    with closing(sqlite3.connect(client.store)) as store, store:
        assert store.execute("DELETE FROM whatsmeow_sessions").rowcount > 0


def test_message_that_we_cannot_read_is_asked_for_and_comes_again(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    simulator.deliver(PHONE, GRACE, "the first")
    linked.wait("Message")
    send(linked, GRACE, "so that the sender stops to send its keys along")
    linked.kill()
    simulator.wait_offline(PHONE)
    lose_sessions(linked)
    lost = simulator.deliver(PHONE, GRACE, "hard to read")["id"]
    again = start_client()
    assert again.wait("UndecryptableMessage")["data"]["Info"]["ID"] == lost
    message = again.wait("Message")["data"]
    assert (lost, "hard to read") == (message["Info"]["ID"], text_of(message))
    history = simulator.wait_for(
        lambda each: rows if (rows := each.acknowledged(PHONE))[-1]["how"] == "inactive" else []
    )
    assert [each["how"] for each in history if each["id"] == lost] == ["retry", "retry", "inactive"]
    simulator.deliver(PHONE, GRACE, "and easy again")
    assert text_of(again.wait("Message")["data"]) == "and easy again"


def test_prekeys_are_renewed_before_they_are_used_up(simulator: Simulator, linked: BareClient) -> None:
    with closing(sqlite3.connect(simulator.directory / "messages.sqlite")) as kept, kept:
        kept.execute("DELETE FROM prekey WHERE id > (SELECT min(id) + 5 FROM prekey)")
    assert simulator.devices(PHONE)[0]["prekeys"] == 6
    for number in range(4):
        simulator.deliver(PHONE, f"4915{number:09}", "first contact")
    linked.collect("Message", 4)
    simulator.wait_for(lambda each: each.devices(PHONE)[0]["prekeys"] >= 50, what="new prekeys")
    simulator.deliver(PHONE, GRACE, "with a new one")
    assert text_of(linked.wait("Message")["data"]) == "with a new one"


def test_push_name_of_the_own_phone_is_learned(
    simulator: Simulator, start_client: Callable[..., BareClient]
) -> None:
    client = start_client()
    simulator.scan(client.wait("QR")["qr"], PHONE, push_name="Ada")
    told = client.wait("Message")["data"]
    assert (told["Info"]["Category"], list(told["Message"])) == ("peer", ["protocolMessage"])
    wait_for(lambda: push_name(client) == "Ada")
    for name in ("Ada Lovelace", "Countess", ""):
        simulator.contact(PHONE, name)
        wait_for(lambda name=name: push_name(client) == name)
    assert simulator.acknowledged(PHONE) + simulator.backlog(PHONE) == []


def test_client_that_is_available_says_that_messages_reached_it(
    simulator: Simulator, linked: BareClient
) -> None:
    linked.tell("available")
    assert "PushName" in linked.wait("available", "error")["error"]
    simulator.contact(PHONE, "Ada")
    wait_for(lambda: push_name(linked) == "Ada")
    linked.tell("available")
    linked.wait("available")
    simulator.deliver(PHONE, GRACE, "are you there?")
    assert [each["how"] for each in acknowledged(simulator, 1)] == ["delivered"]


def push_name(client: BareClient) -> str:
    with closing(sqlite3.connect(client.store)) as store:
        return str(store.execute("SELECT push_name FROM whatsmeow_device").fetchone()[0])


def test_unlinked_device_hears_nothing_more(simulator: Simulator, linked: BareClient) -> None:
    simulator.logout(PHONE)
    linked.wait("LoggedOut")
    assert simulator.deliver(PHONE, GRACE, "to nobody")["devices"] == []


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"phone": "15550001111", "sender": GRACE, "text": "x"}, "unknown-phone"),
        ({"phone": PHONE, "sender": "12", "text": "x"}, "malformed"),
        ({"phone": PHONE, "sender": GRACE}, "malformed"),
        ({"phone": PHONE, "sender": GRACE, "kind": "dance"}, "malformed"),
        ({"phone": PHONE, "sender": GRACE, "kind": "audio", "caption": "x"}, "malformed"),
        ({"phone": PHONE, "sender": GRACE, "message": {"dance": {}}}, "malformed"),
        ({"phone": PHONE, "sender": GRACE, "text": "x", "addressing": "moon"}, "malformed"),
    ],
)
def test_wrong_message_is_refused(simulator: Simulator, given: dict[str, Any], reason: str) -> None:
    simulator.contact(PHONE, "Ada")
    with pytest.raises(SimulatorError) as refused:
        simulator.deliver(**given)
    assert reason == refused.value.reason

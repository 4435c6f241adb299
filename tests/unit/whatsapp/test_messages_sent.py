"""What the unmodified neonize sends is really decrypted by whom it is for, and the server answers as told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.whatsapp.telling import messages_with_text, send, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.bare import BareClient
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
GRACE = "491511111111"
STRANGER = "491599999999"


@pytest.fixture(autouse=True)
def grace(simulator: Simulator) -> dict[str, Any]:
    return simulator.contact(GRACE, "Grace")


def outbox(simulator: Simulator, count: int) -> list[dict[str, Any]]:
    return simulator.wait_for(
        lambda each: sent if len(sent := each.outbox(PHONE)) >= count else [],
        what=f"{count} messages in the outbox",
    )


def test_contact_decrypts_first_and_later_text(
    simulator: Simulator, linked: BareClient, grace: dict[str, Any]
) -> None:
    texts = ["the first", "the second: äöü 🐈", "the third"]
    ids = [send(linked, to, text)["id"] for to, text in zip((GRACE, grace["lid"], GRACE), texts, strict=True)]
    sent = simulator.outbox(PHONE)
    assert texts == [each["text"] for each in sent]
    assert ids == [each["id"] for each in sent]
    assert {(GRACE, grace["jid"], "text", 1, 1)} == {
        (each["to"], each["chat"], each["kind"], each["device"], each["copies"]) for each in sent
    }


def test_conversation_goes_on_both_ways(simulator: Simulator, linked: BareClient) -> None:
    chance = random.Random(11)
    is_ours = [chance.random() < 0.5 for _ in range(200)]
    got, sent = [], []
    for number, ours in enumerate(is_ours):
        if ours:
            sent.append(f"text {number}")
            assert send(linked, GRACE, sent[-1])["event"] == "sent"
        else:
            simulator.deliver(PHONE, GRACE, f"text {number}")
            got.append(text_of(linked.wait("Message")["data"]))
    assert [f"text {number}" for number, ours in enumerate(is_ours) if not ours] == got
    assert sent == [each["text"] for each in simulator.outbox(PHONE)]
    assert simulator.unread(PHONE) == []
    simulator.wait_for(lambda each: not each.backlog(PHONE))
    assert {"inactive"} == {each["how"] for each in simulator.acknowledged(PHONE)}


def lost(simulator: Simulator) -> list[dict[str, Any]]:
    """Return what nobody will read: what is unread for another reason is asked for again."""
    return [each for each in simulator.unread(PHONE) if each["reason"] == "old"]


def test_of_messages_that_cross_each_is_read_or_known_to_be_unread(
    simulator: Simulator, linked: BareClient
) -> None:
    """The library reads and writes a session at once without a lock, and so uses some keys twice."""
    for number in range(100):
        simulator.deliver(PHONE, GRACE, f"in {number}")
        linked.tell(f"send {GRACE} out {number}")
        if number % 3:
            linked.wait("Message")
    simulator.wait_for(lambda each: len(each.outbox(PHONE) + lost(each)) == 100, seconds=60, what="all sent")
    simulator.wait_for(lambda each: not each.backlog(PHONE), seconds=60)
    read = {each["id"] for each in simulator.acknowledged(PHONE) if each["how"] == "inactive"}
    assert len(read) == 100


def test_reaction_is_decrypted(simulator: Simulator, linked: BareClient, grace: dict[str, Any]) -> None:
    first = simulator.deliver(PHONE, GRACE, "look")["id"]
    linked.wait("Message")
    linked.tell(f"react {grace['lid']} {grace['lid']} {first} 👍")
    linked.wait("sent")
    [sent] = outbox(simulator, 1)
    assert ("reaction", "👍", first) == (sent["kind"], sent["text"], sent["reacts_to"])


def test_receipts_come_back(simulator: Simulator, linked: BareClient, grace: dict[str, Any]) -> None:
    sent = send(linked, GRACE, "hello")["id"]
    delivered = linked.wait("Receipt")["data"]
    assert ([sent], "DELIVERED") == (delivered["MessageIDs"], delivered["Type"])
    assert simulator.read(PHONE, GRACE, [sent])["ids"] == [sent]
    read = linked.wait("Receipt")["data"]
    assert ([sent], "READ") == (read["MessageIDs"], read["Type"])
    assert read["MessageSource"]["Sender"]["User"] == grace["lid"].partition("@")[0]
    simulator.receipts(False)
    send(linked, GRACE, "unheard")
    with pytest.raises(TimeoutError):
        linked.wait("Receipt", seconds=0.5)


def test_our_read_receipt_is_noted(simulator: Simulator, linked: BareClient, grace: dict[str, Any]) -> None:
    ids = [simulator.deliver(PHONE, GRACE, text)["id"] for text in ("one", "two")]
    linked.collect("Message", 2)
    linked.tell(f"read {grace['lid']} {grace['lid']} {' '.join(ids)}")
    linked.wait("read")
    simulator.wait_for(lambda each: all(row["read_at"] for row in each.acknowledged(PHONE)))


def test_number_without_a_handset_is_not_on_whatsapp(
    simulator: Simulator, linked: BareClient, grace: dict[str, Any]
) -> None:
    linked.tell(f"on +{STRANGER}")
    assert [each["IsIn"] for each in linked.wait("on")["found"]] == [False]
    assert "no LID found" in send(linked, STRANGER, "hello?")["error"]
    linked.tell(f"on +{GRACE}")
    [found] = linked.wait("on")["found"]
    assert (True, f"+{GRACE}", grace["lid"]) == (
        found["IsIn"],
        found["Query"],
        f"{found['JID']['User']}@{found['JID']['Server']}",
    )


def test_withheld_acks_come_when_let(simulator: Simulator, linked: BareClient) -> None:
    send(linked, GRACE, "begin")
    simulator.withhold()
    linked.tell(f"send {GRACE} waiting")
    assert outbox(simulator, 2)[1]["text"] == "waiting"
    with pytest.raises(TimeoutError):
        linked.wait("sent", "error", seconds=0.5)
    assert simulator.withhold(False) == {"withhold": False, "released": 1}
    assert linked.wait("sent", "error")["event"] == "sent"


def test_nack_is_told_and_nothing_is_passed_on(simulator: Simulator, linked: BareClient) -> None:
    simulator.nack(479)
    assert "479" in send(linked, GRACE, "refused")["error"]
    assert send(linked, GRACE, "taken")["event"] == "sent"
    assert [each["text"] for each in simulator.outbox(PHONE)] == ["taken"]


def test_late_ack_is_waited_for(simulator: Simulator, linked: BareClient) -> None:
    simulator.delay_acks(700)
    linked.tell(f"send {GRACE} patience")
    with pytest.raises(TimeoutError):
        linked.wait("sent", "error", seconds=0.3)
    assert linked.wait("sent", "error")["event"] == "sent"


def test_lost_message_is_sent_again_after_a_drop(simulator: Simulator, linked: BareClient) -> None:
    simulator.lose()
    linked.tell(f"send {GRACE} try again")
    with pytest.raises(TimeoutError):
        linked.wait("sent", "error", seconds=0.5)
    assert simulator.outbox(PHONE) == []
    simulator.lose(False)
    simulator.drop(PHONE)
    assert linked.wait("sent", "error")["event"] == "sent"
    assert [each["copies"] for each in simulator.outbox(PHONE)] == [1]


def test_message_whose_ack_was_lost_comes_twice_and_is_told_once(
    simulator: Simulator, linked: BareClient
) -> None:
    send(linked, GRACE, "begin")
    simulator.withhold()
    linked.tell(f"send {GRACE} twice")
    outbox(simulator, 2)
    simulator.drop(PHONE)
    linked.wait("Connected")
    simulator.wait_for(lambda each: each.outbox(PHONE)[1]["copies"] == 2)
    simulator.withhold(False)
    assert linked.wait("sent", "error")["event"] == "sent"
    assert [(each["text"], each["copies"]) for each in simulator.outbox(PHONE)] == [
        ("begin", 1),
        ("twice", 2),
    ]


def test_contact_that_lost_its_session_asks_again_and_reads(simulator: Simulator, linked: BareClient) -> None:
    send(linked, GRACE, "begin")
    simulator.deliver(PHONE, GRACE, "answer")
    linked.wait("Message")
    simulator.forget_sessions(PHONE, GRACE)
    sent = send(linked, GRACE, "hard to read")["id"]
    assert [each["text"] for each in outbox(simulator, 2)] == ["begin", "hard to read"]
    assert outbox(simulator, 2)[1]["id"] == sent
    send(linked, GRACE, "and easy again")
    assert outbox(simulator, 3)[2]["text"] == "and easy again"


def test_message_to_oneself_is_read_by_the_own_phone(simulator: Simulator, linked: BareClient) -> None:
    assert send(linked, PHONE, "note to self")["event"] == "sent"
    [sent] = outbox(simulator, 1)
    assert (sent["to"], sent["text"]) == (PHONE, "note to self")


def test_two_linked_devices_of_two_accounts_write_to_each_other(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    other = start_client("other.sqlite")
    simulator.scan(other.wait("QR")["qr"], GRACE)
    other.wait("Connected")
    simulator.wait_for(lambda each: each.devices(GRACE)[0]["prekeys"])
    assert send(linked, GRACE, "to the phone and its device")["event"] == "sent"
    # Before it, its own phone told it the key of the app state.
    [message] = messages_with_text(other, 1)
    assert text_of(message) == "to the phone and its device"
    assert send(other, PHONE, "back")["event"] == "sent"
    assert text_of(linked.wait("Message")["data"]) == "back"
    assert [each["to"] for each in simulator.outbox(PHONE)] == [GRACE]
    assert [each["to"] for each in simulator.outbox(GRACE)] == [PHONE]


def test_other_device_of_the_account_gets_a_copy(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient]
) -> None:
    other = start_client("other.sqlite")
    simulator.scan(other.wait("QR")["qr"], PHONE)
    other.wait("Connected")
    simulator.wait_for(lambda each: each.devices(PHONE)[1]["prekeys"])
    send(linked, GRACE, "seen by both")
    message = other.wait("Message")["data"]
    assert (message["Info"]["MessageSource"]["IsFromMe"], text_of(message)) == (True, "seen by both")
    simulator.deliver(PHONE, GRACE, "to both")
    for client in (linked, other):
        assert text_of(client.wait("Message")["data"]) == "to both"

"""Groups: a client finds them, hears in them, writes in them, and is told when they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.whatsapp.telling import messages_with_text, send, text_of
from tests.whatsapp.client import SimulatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.whatsapp.bare import BareClient
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
GRACE, ALAN, EVE = "491511111111", "491522222222", "491533333333"


@pytest.fixture(params=["lid", "pn"])
def group(request: pytest.FixtureRequest, simulator: Simulator) -> str:
    simulator.contact(GRACE, "Grace")
    simulator.contact(ALAN, "Alan")
    made = simulator.group_create("Workshop", [GRACE, PHONE, ALAN], addressing=request.param)
    return str(made["group"])


def test_group_is_listed_with_its_members(simulator: Simulator, linked: BareClient, group: str) -> None:
    linked.tell("groups")
    [found] = linked.wait("groups")["groups"]
    assert (group.partition("@")[0], "Workshop") == (found["JID"]["User"], found["GroupName"]["Name"])
    users = {
        each[key]
        for each in simulator.phones()
        for key in ("phone", "lid")
        if each["phone"] in (GRACE, PHONE, ALAN)
    }
    members = {member["JID"]["User"] for member in found["Participants"]}
    assert (len(members), members <= {user.partition("@")[0] for user in users}) == (3, True)


def test_members_write_and_are_read(simulator: Simulator, linked: BareClient, group: str) -> None:
    simulator.group_send(group, GRACE, "the first")
    simulator.group_send(group, ALAN, "another's first")
    simulator.group_send(group, GRACE, "the second")
    messages = messages_with_text(linked, 3)
    assert [text_of(each) for each in messages] == [
        "the first",
        "another's first",
        "the second",
    ]
    assert {group.partition("@")[0]} == {each["Info"]["MessageSource"]["Chat"]["User"] for each in messages}
    assert [each["Info"]["Pushname"] for each in messages] == ["Grace", "Alan", "Grace"]
    assert messages[0]["Info"]["MessageSource"]["IsGroup"]
    simulator.wait_for(lambda each: not each.backlog(PHONE))
    assert {"inactive"} == {each["how"] for each in simulator.acknowledged(PHONE)}


def test_first_message_of_a_member_comes_with_one_that_says_nothing(
    simulator: Simulator, linked: BareClient, group: str
) -> None:
    sent = simulator.group_send(group, GRACE, "the first")["id"]
    keys, first = linked.collect("Message", 2)
    assert list(keys["Message"]) == ["senderKeyDistributionMessage"]
    assert [sent, sent] == [keys["Info"]["ID"], first["Info"]["ID"]]


def test_members_decrypt_what_we_write(simulator: Simulator, linked: BareClient, group: str) -> None:
    ids = [send(linked, group, text)["id"] for text in ("one", "two", "three")]
    sent = simulator.outbox(PHONE)
    assert {(message_id, to, group) for message_id in ids for to in (GRACE, ALAN)} == {
        (each["id"], each["to"], each["chat"]) for each in sent
    }
    assert [each["text"] for each in sent if each["to"] == ALAN] == ["one", "two", "three"]
    assert simulator.read(PHONE, ALAN, ids)["ids"] == ids


def test_backlog_of_a_group_out_of_order(
    simulator: Simulator, linked: BareClient, start_client: Callable[..., BareClient], group: str
) -> None:
    simulator.group_send(group, GRACE, "the first")
    messages_with_text(linked, 1)
    simulator.hold(PHONE)
    texts = {f"text {number}" for number in range(20)}
    for text in sorted(texts):
        simulator.group_send(group, GRACE, text)
    simulator.hold(PHONE, False, order="reversed")
    assert texts == {text_of(each) for each in messages_with_text(linked, 20)}


def test_reaction_in_a_group_names_whose_message_it_is(
    simulator: Simulator, linked: BareClient, group: str
) -> None:
    ours = send(linked, group, "clap please")["id"]
    simulator.react(PHONE, GRACE, ours, "👏", group=group)
    while "reactionMessage" not in (message := linked.wait("Message")["data"])["Message"]:
        pass
    key = message["Message"]["reactionMessage"]["key"]
    assert (ours, False, group) == (key["ID"], key["fromMe"], key["remoteJID"])
    assert key["participant"].partition("@")[0] in {
        PHONE,
        *(each["lid"].partition("@")[0] for each in simulator.phones() if each["phone"] == PHONE),
    }


def test_changes_are_told(simulator: Simulator, linked: BareClient, group: str) -> None:
    linked.wait("JoinedGroup")
    simulator.group_add(group, EVE)
    assert len(linked.wait("GroupInfoEvent")["data"]["Join"]) == 1
    simulator.group_rename(group, "Studio")
    assert linked.wait("GroupInfoEvent")["data"]["Name"]["Name"] == "Studio"
    simulator.group_remove(group, EVE)
    assert len(linked.wait("GroupInfoEvent")["data"]["Leave"]) == 1
    send(linked, group, "who is left?")
    assert {GRACE, ALAN} == {each["to"] for each in simulator.outbox(PHONE)}
    simulator.group_remove(group, PHONE)
    linked.wait("GroupInfoEvent")
    assert "error" in send(linked, group, "am I there?")
    linked.tell("groups")
    assert linked.wait("groups")["groups"] == []


def test_member_taken_in_later_reads_from_then_on(
    simulator: Simulator, linked: BareClient, group: str
) -> None:
    simulator.group_remove(group, PHONE)
    simulator.group_send(group, GRACE, "behind its back")
    simulator.group_add(group, PHONE)
    simulator.group_send(group, GRACE, "welcome")
    [message] = messages_with_text(linked, 1)
    assert text_of(message) == "welcome"


def test_wrong_member_and_group_are_refused(simulator: Simulator, group: str) -> None:
    for verb, reason in (
        (lambda: simulator.group_send(group, EVE, "x"), "unknown-phone"),
        (lambda: simulator.group_send("1@g.us", GRACE, "x"), "unknown-group"),
        (lambda: simulator.group_add(group, GRACE), "member"),
        (lambda: simulator.group_create("nobody", []), "malformed"),
    ):
        with pytest.raises(SimulatorError) as refused:
            verb()
        assert reason == refused.value.reason

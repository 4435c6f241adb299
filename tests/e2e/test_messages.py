"""Messages in and out, really encrypted: kept, listed, sent once, over kills of worker and daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.tower import Tower
from tests.whatsapp.simulator import Simulator, wait_for

PHONE = "491701234567"
GRACE = "491511111111"
ADA = "491522222222"
NOBODY = "491599999999"
CONFIG = """
[reconnect]
base_seconds = 0.2
cap_seconds = 1
[limits]
per_minute = 600
"""


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator, config=CONFIG) as started:
        started.link(simulator, "sales", PHONE)
        simulator.contact(GRACE, "Grace")
        yield started


def received(tower: Tower, **query: Any) -> list[dict[str, Any]]:
    return list(tower.rpc("message.list", account="sales", limit=10000, **query)["messages"])


def groups(tower: Tower) -> list[dict[str, Any]]:
    return list(tower.rpc("group.list", account="sales")["groups"])


def wait_for_texts(tower: Tower, *texts: str, seconds: float = 20) -> list[dict[str, Any]]:
    def all_there() -> list[dict[str, Any]] | None:
        found = received(tower)
        return found if set(texts) <= {one["text"] for one in found} else None

    found = wait_for(all_there, seconds=seconds, what=f"messages {texts}")
    assert found is not None
    return found


def test_what_a_contact_writes_is_listed_and_events_do_not_say_it(tower: Tower, simulator: Simulator) -> None:
    first = simulator.deliver(PHONE, GRACE, "first contact")["id"]
    wait_for_texts(tower, "first contact")
    simulator.deliver(PHONE, GRACE, "an answer", quoted=None)
    simulator.deliver(PHONE, GRACE, kind="image", caption="a tower")
    simulator.react(PHONE, GRACE, first, "\u2b50")
    found = wait_for_texts(tower, "an answer", "a tower", "\u2b50")
    message, _, image, star = found
    assert (message["message_id"], message["sender"], message["push_name"], message["kind"]) == (
        first,
        f"{GRACE}@s.whatsapp.net",
        "Grace",
        "text",
    )
    assert message["sender_lid"].endswith("@lid")
    assert (image["kind"], star["kind"], star["target_id"]) == ("image", "reaction", first)
    events = tower.events("message.received", "reaction.received")
    assert [event["data"]["message"] for event in events] == [one["id"] for one in found]
    assert "first contact" not in json.dumps(tower.events()) + tower.log()
    account = tower.account("sales")
    assert (account["received_today"], account["sent_today"]) == (3, 0)
    assert account["last_activity_at"] is not None
    assert "Grace (+491511111111): first contact" in tower.ctl("messages", "sales")


def test_what_waited_while_the_daemon_was_away_comes_after(tower: Tower, simulator: Simulator) -> None:
    tower.terminate()
    simulator.deliver(PHONE, GRACE, "while you were away")
    simulator.echo(PHONE, GRACE, "from my phone")
    tower.start()
    found = wait_for_texts(tower, "while you were away", "from my phone")
    own = next(one for one in found if one["text"] == "from my phone")
    assert (own["from_me"], own["chat"]) == (True, f"{GRACE}@s.whatsapp.net")
    assert tower.account("sales")["received_today"] == 1


def test_messages_are_followed_over_a_kill_without_gap_or_repeat(tower: Tower, simulator: Simulator) -> None:
    simulator.deliver(PHONE, GRACE, "before")
    wait_for_texts(tower, "before")
    with tower.spawn_ctl("messages", "sales", "--follow", "--since", "0", "--json") as following:
        assert following.stdout is not None

        def next_text() -> str:
            return str(json.loads(following.stdout.readline())["text"])

        assert next_text() == "before"
        simulator.deliver(PHONE, GRACE, "during")
        assert next_text() == "during"
        tower.kill()
        simulator.deliver(PHONE, GRACE, "while nobody was there")
        tower.start()
        assert next_text() == "while nobody was there"
        simulator.react(PHONE, GRACE, received(tower)[0]["message_id"], "\u2b50")
        simulator.deliver(PHONE, GRACE, "after")
        assert [next_text(), next_text()] == ["\u2b50", "after"]
        following.terminate()


def test_a_group_is_a_chat(tower: Tower, simulator: Simulator) -> None:
    simulator.contact(ADA, "Ada")
    group = simulator.group_create("Towers", [GRACE, PHONE, ADA])["group"]
    simulator.group_send(group, GRACE, "to all")
    (listed,) = wait_for(lambda: groups(tower), what="the group is known")
    assert (listed["jid"], listed["name"], len(listed["participants"])) == (group, "Towers", 3)
    simulator.group_rename(group, "More towers")
    simulator.group_remove(group, ADA)
    wait_for(
        lambda: [(one["name"], len(one["participants"])) for one in groups(tower)] == [("More towers", 2)],
        what="the change is known",
    )
    simulator.group_add(group, ADA)
    wait_for(lambda: len(groups(tower)[0]["participants"]) == 3, what="all members are known")
    (message,) = wait_for_texts(tower, "to all")
    assert (message["chat"], message["is_group"], message["sender"]) == (
        group,
        True,
        f"{GRACE}@s.whatsapp.net",
    )
    tower.ctl("send", "sales", "--to", group, "--wait", "from all to all")
    readers = wait_for(
        lambda: [one for one in simulator.outbox(PHONE) if one["text"] == "from all to all"], what="readers"
    )
    wait_for(
        lambda: len([one for one in simulator.outbox(PHONE) if one["text"] == "from all to all"]) == 2,
        what="both members have read it",
    )
    assert readers[0]["chat"] == group


def test_a_text_is_really_decrypted_at_the_other_end(tower: Tower, simulator: Simulator) -> None:
    line = tower.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "hello\nGrace \u2b50")
    assert line.endswith("sent\n")
    (read,) = simulator.outbox(PHONE)
    assert (read["text"], read["kind"]) == ("hello\nGrace \u2b50", "text")
    (sent,) = tower.rpc("message.outbox", account="sales")["messages"]
    assert (sent["state"], sent["message_id"]) == ("sent", read["id"])
    assert tower.account("sales")["sent_today"] == 1
    simulator.deliver(PHONE, GRACE, "hello, sales")
    wait_for_texts(tower, "hello, sales")
    status = json.loads(tower.ctl("status", "--json"))
    assert (status["accounts"], status["health"]) == ({"connected": 1}, {"healthy": 1})
    assert status["messages"] == {"sent": 1, "received": 1, "waiting": 0}
    (worker,) = status["workers"]
    assert status["memory"]["workers_bytes"] == worker["memory_bytes"] > 0
    assert status["memory"]["daemon_bytes"] > 0
    assert "1 sent, 1 received" in tower.ctl("status")
    assert "hello" not in tower.log()


def test_the_same_key_sends_once_over_a_kill_of_the_daemon(tower: Tower, simulator: Simulator) -> None:
    asked = ("send", "sales", "--to", f"+{GRACE}", "--key", "backup-1", "--wait", "once")
    tower.ctl(*asked)
    tower.kill()
    tower.start()
    tower.wait_for_state("sales", "connected")
    tower.ctl(*asked)
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["once"]


def test_what_is_accepted_without_a_line_is_sent_when_there_is_one(
    tower: Tower, simulator: Simulator, touched: None
) -> None:
    simulator.refuse()
    simulator.drop()
    tower.wait_for_state("sales", "reconnecting")
    for text in ("one", "two", "three"):
        tower.ctl("send", "sales", "--to", f"+{GRACE}", text)
    tower.kill()
    simulator.refuse(on=False)
    tower.start()
    wait_for(lambda: len(simulator.outbox(PHONE)) == 3, seconds=40, what="all three are read")
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["one", "two", "three"]


def test_what_cannot_be_sent_says_why(tower: Tower, simulator: Simulator, untouched: None) -> None:
    ran = tower.run("send", "sales", "--to", f"+{NOBODY}", "--wait", "hello?")
    assert (ran.returncode, "nobody at WhatsApp has the number" in ran.stderr) == (6, True)
    simulator.nack(479)
    ran = tower.run("send", "sales", "--to", f"+{GRACE}", "--wait", "refused")
    assert (ran.returncode, "refused-by-whatsapp" in ran.stderr) == (1, True)
    simulator.withhold()
    ran = tower.run("send", "sales", "--to", f"+{GRACE}", "--wait", "--timeout", "2", "late")
    assert (ran.returncode, "is sending after 2 s" in ran.stderr) == (7, True)
    simulator.withhold(on=False)
    wait_for(
        lambda: tower.rpc("message.outbox", account="sales")["messages"][-1]["state"] == "sent",
        what="the ack came after all",
    )
    tower.ctl("stop", "sales")
    ran = tower.run("send", "sales", "--to", f"+{GRACE}", "hello")
    assert (ran.returncode, "towerctl start sales" in ran.stderr) == (6, True)
    ran = tower.run("send", "sales", "--to", "grace", "hello")
    assert (ran.returncode, "phone number" in ran.stderr) == (2, True)


def test_a_worker_that_dies_over_a_text_does_not_send_it_twice(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    simulator.withhold()
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "perhaps")
    wait_for(lambda: len(simulator.outbox(PHONE)) == 1, what="it is read, and not acknowledged")
    os.kill(tower.account("sales")["worker"]["pid"], 9)
    simulator.withhold(on=False)

    def fate() -> tuple[str, str | None] | None:
        (text,) = tower.rpc("message.outbox", account="sales")["messages"]
        return (text["state"], text["reason"]) if text["state"] != "sending" else None

    assert wait_for(fate, what="the text is settled") == ("failed", "outcome-unknown")
    tower.wait_for_state("sales", "connected", seconds=30)
    tower.ctl("send", "sales", "--to", f"+{GRACE}", "--wait", "certainly")
    assert [one["text"] for one in simulator.outbox(PHONE)] == ["perhaps", "certainly"]

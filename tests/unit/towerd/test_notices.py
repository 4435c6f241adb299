"""What people are told: the same in JSON, in variables and in a mail."""

from __future__ import annotations

import email
import email.policy
import json
import os
import pwd
from typing import Any

from tests.unit.towerd.builders import ACCOUNT_ID, NOW
from towerd.accounts.records import IncidentRecord
from towerd.notices import notice, trial


def an_incident(**fields: Any) -> IncidentRecord:
    defaults: dict[str, Any] = {
        "id": "i-1",
        "subject": ACCOUNT_ID,
        "kind": "banned",
        "line": "alpha: banned",
        "action": "open WhatsApp",
        "account_id": ACCOUNT_ID,
        "account_name": "alpha",
        "owner_uid": os.getuid(),
        "opened_at": NOW,
    }
    return IncidentRecord(**(defaults | fields))


def test_one_incident_says_what_is_wrong_since_when_and_what_to_do() -> None:
    message = notice([an_incident()], "command")
    document = json.loads(message.to_json())
    assert document["event"] == "opened"
    assert document["subject"] == "alpha: banned"
    assert "open WhatsApp" in document["text"]
    owner = pwd.getpwuid(os.getuid()).pw_name
    assert document["incidents"] == [
        {
            "event": "opened",
            "incident": "i-1",
            "kind": "banned",
            "account": {"id": ACCOUNT_ID, "name": "alpha"},
            "owner": owner,
            "line": "alpha: banned",
            "action": "open WhatsApp",
            "opened_at": "2026-09-21T14:13:20.000Z",
            "closed_at": None,
            "outcome": None,
        }
    ]
    assert message.variables() == {
        "TOWER_EVENT": "opened",
        "TOWER_HOST": document["host"],
        "TOWER_SUBJECT": "alpha: banned",
        "TOWER_COUNT": "1",
        "TOWER_INCIDENT": "i-1",
        "TOWER_KIND": "banned",
        "TOWER_ACCOUNT": "alpha",
        "TOWER_ACCOUNT_ID": ACCOUNT_ID,
        "TOWER_OWNER": owner,
        "TOWER_LINE": "alpha: banned",
        "TOWER_ACTION": "open WhatsApp",
    }


def test_a_second_kind_of_trouble_is_a_change_for_those_who_know_the_first() -> None:
    changed = an_incident(kind="store-damaged", told={"command": ["banned"]})
    assert notice([changed], "command").event == "changed"
    assert notice([changed], "mail").event == "opened"


def test_the_end_says_how_it_ended_and_from_when_to_when_it_was() -> None:
    over = an_incident(closed_at=NOW + 60, outcome="connected")
    message = notice([over], "command")
    assert message.event == "closed"
    assert message.subject == "over (connected): alpha: banned"
    assert "from 2026-09-21T14:13:20.000Z to 2026-09-21T14:14:20.000Z" in message.text
    assert message.variables()["TOWER_ACTION"] == ""


def test_several_are_one_summary_that_names_each() -> None:
    several = [
        an_incident(),
        an_incident(id="i-2", line="beta: banned"),
        an_incident(id="i-3", closed_at=NOW),
    ]
    message = notice(several, "command")
    assert (message.event, message.subject) == ("summary", "3 incidents: 2 need somebody, 1 over")
    assert [one.event for one in message.incidents] == ["opened", "opened", "closed"]
    assert message.text.index("alpha: banned") < message.text.index("beta: banned")
    assert "TOWER_INCIDENT" not in message.variables()
    assert message.variables()["TOWER_COUNT"] == "3"


def test_one_of_the_daemon_itself_belongs_to_no_account() -> None:
    message = notice([an_incident(account_id=None, account_name=None, owner_uid=None)], "command")
    assert json.loads(message.to_json())["incidents"][0]["account"] is None
    assert message.variables()["TOWER_ACCOUNT"] == ""


def test_a_test_says_that_it_is_one() -> None:
    assert trial().event == "test"
    assert json.loads(trial().to_json())["incidents"] == []
    assert trial().variables()["TOWER_COUNT"] == "0"


def test_a_mail_is_one_that_any_reader_reads() -> None:
    mail = email.message_from_bytes(
        notice([an_incident(line="älpha: banned")], "mail").to_mail(["root", "ops@example.org"]),
        policy=email.policy.default,
    )
    assert mail["To"] == "root, ops@example.org"
    assert mail["Subject"].endswith("] älpha: banned")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "älpha: banned\n  since" in mail.get_content()


def test_no_line_from_outside_makes_a_header_or_drives_a_terminal() -> None:
    message = notice([an_incident(line="alpha: \x1b[31mbanned\nBcc: everybody@example.org\r\n")], "mail")
    mail = email.message_from_bytes(message.to_mail(["root"]), policy=email.policy.default)
    assert mail["Bcc"] is None
    assert message.variables()["TOWER_LINE"] == "alpha: [31mbanned Bcc: everybody@example.org"

"""The verbs of messages and groups without a client, and the command that does them."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.whatsapp.__main__ import main
from tests.whatsapp.client import SimulatorError, call
from tests.whatsapp.simulator import Simulator
from tests.whatsapp.verbs import verb_parser

if TYPE_CHECKING:
    from pathlib import Path

PHONE, GRACE = "491701234567", "491511111111"


@pytest.fixture
def running(tmp_path: Path) -> Any:
    with Simulator.start(tmp_path / "simulator") as simulator:
        simulator.contact(PHONE, "Ada")
        yield simulator


def test_every_verb_of_the_simulator_is_one_of_the_command(running: Simulator) -> None:
    with pytest.raises(SimulatorError) as refused:
        call(running.directory, "dance")
    verbs = set(str(refused.value).removeprefix("the verbs are: ").split(", "))
    for action in verb_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            assert verbs == set(action.choices)
            return
    pytest.fail("the command has no verbs")


def test_command_makes_contacts_and_has_them_write(
    running: Simulator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*arguments: str) -> Any:
        status = main([str(running.directory), *arguments])
        printed = json.loads(capsys.readouterr().out)
        assert bool(status) == (isinstance(printed, dict) and "error" in printed)
        return printed

    assert said("contact", GRACE, "Grace")["push_name"] == "Grace"
    sent = said("deliver", PHONE, GRACE, "hello", "--quoted", "3EB0AA", "--id", "ABC", "--addressing", "pn")
    assert sent == {"id": "ABC", "devices": []}
    assert said("deliver", PHONE, GRACE, "--kind", "image", "--caption", "a picture")["devices"] == []
    assert said("deliver", PHONE, GRACE, "--message", '{"conversation": "x"}')["devices"] == []
    assert said("deliver", PHONE, GRACE)["reason"] == "malformed"
    assert said("echo", PHONE, GRACE, "from the phone")["devices"] == []
    assert said("react", PHONE, GRACE, "ABC", "👍")["devices"] == []
    group = said("group-create", "Workshop", GRACE, PHONE)["group"]
    assert said("group-send", group, GRACE, "hello all")["devices"] == []
    assert said("group-rename", group, "Studio")["subject"] == "Studio"
    assert [each["members"] for each in said("groups")] == [{GRACE: "superadmin", PHONE: "member"}]
    assert said("group-remove", group, PHONE)["members"] == {GRACE: "superadmin"}
    assert said("group-add", group, PHONE)["members"] == {GRACE: "superadmin", PHONE: "member"}
    for verb in ("outbox", "unread", "acknowledged", "backlog"):
        assert said(verb, PHONE) == []
        assert said(verb, "15550001111")["reason"] == "unknown-phone"
    assert said("withhold", "off") == {"withhold": False, "released": 0}
    assert said("nack", "479", "--times", "2") == {"code": 479, "times": 2}
    assert said("hold", PHONE, "off", "--order", "reversed") == {"hold": False, "sent": 0}
    assert said("redeliver", PHONE, "ABC")["reason"] == "unknown-message"
    assert said("read", PHONE, GRACE, "ABC") == {"ids": []}


def test_contacts_and_groups_outlive_the_simulator(running: Simulator) -> None:
    grace = running.contact(GRACE, "Grace")
    made = running.group_create("Workshop", [GRACE, PHONE], addressing="pn")
    running.kill()
    running.restart()
    assert grace in [{**each, "jid": f"{GRACE}@s.whatsapp.net"} for each in running.phones()]
    assert [made] == running.groups()


def test_reset_number_is_another_one_with_another_address(running: Simulator) -> None:
    before = running.contact(GRACE, "Grace")["lid"]
    running.reset(GRACE)
    assert before != running.contact(GRACE, "Grace")["lid"]

"""Pairing codes: printed with what to do with them, waited for no longer than one may, never lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.unit.towerctl.conftest import Terminal, Tower
from tests.unit.towerctl.fake_daemon import FakeDaemon, Silence, account, error, pairing_account
from towerctl.text import format_time, now

OnTerminal = Callable[..., Terminal]


@pytest.mark.parametrize("verb", ["add", "pair"])
@pytest.mark.parametrize("code", ["ABCD-1234", "ABCD1234"])
def test_a_code_is_printed_with_what_to_do_with_it(
    tower: Tower, daemon: FakeDaemon, verb: str, code: str
) -> None:
    expires_at = format_time(now() + timedelta(seconds=150))
    answer = {"account": pairing_account(), "code": code, "code_expires_at": expires_at}
    daemon.prepare("account.add", {"account": account(state="unpaired"), "created": True})
    daemon.prepare("account.pair", answer)
    ran = tower(verb, "shop", "--phone", "+491")
    assert ran.out.splitlines()[1:] == ["code: ABCD-1234"]
    assert ran.err.splitlines() == [
        "on the phone: WhatsApp > Linked devices > Link a device > Link with phone number instead, "
        "then type the code",
        f"valid until {expires_at} (2m left)",
        "when it expires a new code is asked for by itself; the current one: towerctl pair shop --phone +491",
        "next: towerctl wait shop --for connected",
    ]
    assert daemon.asked("account.pair")[0] == {"account": "shop", "phone": "+491"}
    assert tower(verb, "shop", "--phone", "+491", "--json").json["code"] == code


@pytest.mark.parametrize(
    ("verb", "fact"), [("add", "shop was added; no pairing code came"), ("pair", "no pairing code came")]
)
def test_a_code_that_does_not_come_in_time_is_no_mute_daemon(
    tower: Tower, daemon: FakeDaemon, verb: str, fact: str
) -> None:
    def say_nothing(*_: object) -> None:
        raise Silence

    daemon.prepare("account.add", {"account": account(state="unpaired"), "created": True})
    daemon.prepare("account.pair", say_nothing)
    failure = tower(verb, "shop", "--phone", "+491", "--timeout", "0.2", "--json").error
    assert (failure["slug"], failure["exit"]) == ("timed-out", 7)
    assert failure["message"] == f"{fact} within 0.2 s; the pairing goes on"
    assert failure["hint"] == "to get the code: towerctl pair shop --phone +491"
    if verb == "add":
        assert daemon.asked("account.add") == [{"name": "shop", "pair": False, "phone": "+491"}]


def test_a_code_that_is_refused_leaves_the_account_and_says_so(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": account(state="unpaired"), "created": True})
    daemon.prepare("account.pair", error("pairing-timeout", "no pairing code for shop yet", hint="again"))
    failure = tower("add", "shop", "--phone", "+491", "--json").error
    assert (failure["slug"], failure["exit"], failure["hint"]) == ("pairing-timeout", 7, "again")
    assert failure["message"] == "shop was added; no pairing code for shop yet"


def test_add_of_what_is_there_says_how_to_get_the_code(tower: Tower, daemon: FakeDaemon) -> None:
    daemon.prepare("account.add", {"account": pairing_account(), "created": False})
    ran = tower("add", "shop", "--if-absent", "--phone", "+491")
    assert ran.err == "next: towerctl pair shop --phone +491\n"


def test_waiting_for_a_code_is_shown_on_a_terminal(terminal: OnTerminal, daemon: FakeDaemon) -> None:
    daemon.prepare("account.pair", error("pairing-timeout", "no pairing code for shop yet", hint="qr"))
    running = terminal("pair", "shop", "--phone", "+491")
    assert "waiting for the code …" in running.read_all()
    assert running.process.returncode == 7

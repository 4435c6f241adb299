"""Logout, unpair and remove: what WhatsApp hears, what is forgotten, and what is never done by itself."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"


def test_remove_logs_out_at_the_server_and_deletes_everything(tower: Tower, simulator: Simulator) -> None:
    account = tower.link(simulator, "sales", PHONE)
    removed = json.loads(tower.ctl("remove", "sales", "--yes", "--json"))
    assert (removed["removed"], removed["logout"]) == (True, "done")
    assert simulator.devices(PHONE) == []
    assert list((tower.state / "sessions").glob(f"*{account['id']}*")) == []
    assert tower.run("show", "sales").returncode == 5
    assert tower.run("remove", "sales", "--yes").returncode == 5
    tower.ctl("remove", "sales", "--yes", "--if-present")


def test_a_stopped_account_is_logged_out_when_it_is_removed(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("stop", "sales")
    tower.ctl("remove", "sales", "--yes")
    assert simulator.devices(PHONE) == []


def test_remove_while_whatsapp_is_away_deletes_and_says_that_the_logout_failed(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.refuse()
    simulator.drop(PHONE)
    strict = tower.run("remove", "sales", "--yes", "--require-logout")
    assert strict.returncode == 1
    assert tower.account("sales")["state"] != "connected"
    removed = json.loads(tower.ctl("remove", "sales", "--yes", "--json"))
    assert (removed["removed"], removed["logout"]) == (True, "failed")
    assert tower.run("show", "sales").returncode == 5


def test_logout_keeps_the_account_and_does_not_pair_again(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    assert json.loads(tower.ctl("logout", "sales", "--yes", "--json"))["logout"] == "done"
    assert simulator.devices(PHONE) == []
    account = tower.account("sales")
    assert (account["state"], account["reason"]) == ("unpaired", "logged-out-by-operator")
    assert account["phone"] is None
    assert tower.workers() == []
    again = json.loads(tower.ctl("logout", "sales", "--yes", "--json"))
    assert again["logout"] == "not-linked"


def test_a_logout_that_fails_wipes_nothing(tower: Tower, simulator: Simulator, untouched: None) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.refuse()
    simulator.drop(PHONE)
    assert tower.run("logout", "sales", "--yes").returncode == 1
    simulator.refuse(on=False)
    tower.wait_for_state("sales", "connected", seconds=60)
    assert len(simulator.devices(PHONE)) == 1


def test_unpair_forgets_here_only(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    unpaired = tower.run("unpair", "sales", "--yes")
    assert unpaired.returncode == 0
    assert "phone" in unpaired.stdout + unpaired.stderr
    assert len(simulator.devices(PHONE)) == 1
    account = tower.account("sales")
    assert (account["state"], account["reason"], account["jid"]) == ("unpaired", "unpaired-by-operator", None)
    assert simulator.log()["counters"]["logouts"] == {}


def test_an_unlink_on_the_phone_brings_a_new_qr_by_itself(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.logout(PHONE)
    account = tower.wait_for_state("sales", "pairing", seconds=10)
    assert account["reason"] == "logged-out-by-phone"
    answer = tower.rpc("account.qr", account="sales", wait_seconds=10)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("sales", "connected")
    assert [event["data"]["by"] for event in tower.events("session.logged_out")] == ["phone"]


def test_an_unlink_while_the_daemon_is_away_is_noticed_at_the_next_login(
    tower: Tower, simulator: Simulator, touched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.terminate()
    simulator.logout(PHONE)
    tower.start()
    account = tower.wait_for_state("sales", "pairing", seconds=20)
    assert account["reason"] == "logged-out-by-phone"


def test_unpair_and_pair_work_while_whatsapp_is_away(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.refuse()
    simulator.drop(PHONE)
    tower.wait_for_state("sales", "reconnecting")
    tower.ctl("unpair", "sales", "--yes")
    tower.ctl("pair", "sales")
    assert tower.account("sales")["state"] == "pairing"
    simulator.refuse(on=False)
    answer = tower.rpc("account.qr", account="sales", wait_seconds=60)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("sales", "connected")


@pytest.mark.parametrize("verb", ["unpair", "logout", "remove"])
def test_what_destroys_asks_and_without_a_terminal_refuses(tower: Tower, verb: str) -> None:
    tower.ctl("add", "sales", "--no-pair")
    assert tower.run(verb, "sales").returncode == 2
    assert tower.account("sales")["name"] == "sales"


TROUBLES = ["halfopen", "mute", "stopped-process", "damaged-store"]


def link_and_trouble(tower: Tower, simulator: Simulator, trouble: str) -> dict[str, Any]:
    """Link an account and leave it hung or damaged."""
    account = tower.link(simulator, "sales", PHONE)
    if trouble == "halfopen":
        simulator.halfopen(PHONE)
    elif trouble == "mute":
        simulator.mute()
    elif trouble == "stopped-process":
        os.kill(tower.account("sales")["worker"]["pid"], signal.SIGSTOP)
    else:
        tower.terminate()
        (tower.state / "sessions" / account["id"] / "store.db").write_bytes(b"x" * 5000)
        tower.start()
        tower.wait_for_state("sales", "failed")
    return account


@pytest.mark.parametrize("trouble", TROUBLES)
def test_remove_works_from_everywhere(tower: Tower, simulator: Simulator, trouble: str) -> None:
    account = link_and_trouble(tower, simulator, trouble)
    removed = json.loads(tower.ctl("remove", "sales", "--yes", "--json"))
    assert removed["removed"]
    # What the phone still lists, the answer does not call logged out.
    assert (removed["logout"] == "done") == (simulator.devices(PHONE) == [])
    assert list((tower.state / "sessions").glob(f"*{account['id']}*")) == []
    assert tower.run("show", "sales").returncode == 5
    assert tower.workers() == []
    tower.ctl("remove", "sales", "--yes", "--if-present")


@pytest.mark.parametrize("verb", ["logout", "remove"])
def test_a_device_that_the_phone_has_removed_already_is_logged_out(
    tower: Tower, simulator: Simulator, verb: str
) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("stop", "sales")
    simulator.logout(PHONE)
    assert json.loads(tower.ctl(verb, "sales", "--yes", "--json"))["logout"] == "done"
    if verb == "logout":
        account = tower.account("sales")
        assert (account["state"], account["jid"]) == ("unpaired", None)


@pytest.mark.parametrize(("trouble", "then"), [("stopped-process", "connected"), ("damaged-store", "failed")])
def test_a_logout_in_trouble_says_so_and_wipes_nothing(
    tower: Tower, simulator: Simulator, trouble: str, then: str
) -> None:
    link_and_trouble(tower, simulator, trouble)
    ran = tower.run("logout", "sales", "--yes")
    assert (ran.returncode, "nothing was wiped" in ran.stderr) == (1, True)
    tower.wait_for_state("sales", then, seconds=60)
    assert len(simulator.devices(PHONE)) == 1


@pytest.mark.parametrize("trouble", TROUBLES)
def test_reset_works_from_everywhere(tower: Tower, simulator: Simulator, trouble: str) -> None:
    link_and_trouble(tower, simulator, trouble)
    tower.ctl("unpair", "sales", "--yes")
    simulator.mute(on=False)
    tower.ctl("pair", "sales")
    answer = tower.rpc("account.qr", account="sales", wait_seconds=20)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("sales", "connected")


def test_a_logout_that_is_never_answered_is_unknown_and_settled_by_the_next_login(
    tower: Tower, simulator: Simulator
) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.mute()
    began = time.monotonic()
    assert tower.rpc("account.logout", account="sales")["logout"] == "unknown"
    assert time.monotonic() - began < 20
    # It did happen after all.
    simulator.logout(PHONE)
    simulator.mute(on=False)
    account = tower.wait_for_state("sales", "unpaired", seconds=40)
    assert account["reason"] == "logged-out-by-operator"
    assert tower.workers() == []


def test_a_logout_that_did_not_happen_leaves_the_session(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.mute()
    assert tower.rpc("account.logout", account="sales")["logout"] == "unknown"
    simulator.mute(on=False)
    tower.wait_for_state("sales", "connected", seconds=40)
    simulator.logout(PHONE)
    account = tower.wait_for_state("sales", "pairing", seconds=20)
    assert account["reason"] == "logged-out-by-phone"

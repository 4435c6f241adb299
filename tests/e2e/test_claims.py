"""Whose phone is whose: duplicates, wrong phones, expected phones, the primary account."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
OTHER_PHONE = "491707654321"


def payload(tower: Tower, name: str) -> str:
    return str(tower.rpc("account.qr", account=name, wait_seconds=20, start=True)["qr"]["data"])


def wait_for_reason(tower: Tower, name: str, reason: str) -> dict[str, object]:
    account = tower.wait_for_state(name, "unpaired")
    assert account["reason"] == reason
    return account


def test_a_phone_is_linked_once_and_the_first_account_stays(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    first = tower.link(simulator, "first", PHONE)
    tower.ctl("add", "second")
    simulator.scan(payload(tower, "second"), PHONE)
    second = wait_for_reason(tower, "second", "duplicate-phone")
    assert "first" in str(second["action"])
    assert len(simulator.devices(PHONE)) == 1
    assert tower.account("first")["since"] == first["since"]
    (event,) = tower.events("session.duplicate")
    assert event["data"] == {"phone": f"+{PHONE}", "existing": "first", "logout": "done"}
    # Another phone is welcome.
    tower.ctl("pair", "second")
    simulator.scan(payload(tower, "second"), OTHER_PHONE)
    tower.wait_for_state("second", "connected")


def test_of_two_racing_pairings_of_one_phone_exactly_one_wins(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    names = ["one", "two"]
    for name in names:
        tower.ctl("add", name)
    codes = [payload(tower, name) for name in names]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda code: simulator.scan(code, PHONE), codes))

    def states() -> list[str]:
        return sorted(tower.account(name)["state"] for name in names)

    wait_for(lambda: states() == ["connected", "unpaired"], seconds=40, what="one wins")
    wait_for(lambda: len(simulator.devices(PHONE)) == 1, what="one device is left")


def test_a_duplicate_survives_a_kill_of_its_worker_and_of_the_daemon(
    tower: Tower, simulator: Simulator
) -> None:
    tower.link(simulator, "first", PHONE)
    tower.ctl("add", "second")
    code = payload(tower, "second")
    simulator.hold_success()
    simulator.scan(code, PHONE)
    tower.wait_for_state("second", "authenticated")
    tower.kill()
    tower.start()
    tower.wait_for_state("second", "authenticated")
    simulator.hold_success(on=False)
    wait_for_reason(tower, "second", "duplicate-phone")
    tower.wait_for_state("first", "connected")
    assert len(simulator.devices(PHONE)) == 1, tower.log()


def test_a_removal_logs_a_duplicate_out_that_nobody_had_heard_of(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "first", PHONE)
    tower.ctl("add", "second")
    code = payload(tower, "second")
    assert tower.process is not None
    tower.process.send_signal(signal.SIGSTOP)
    simulator.scan(code, PHONE)
    wait_for(lambda: len(simulator.devices(PHONE)) == 2, what="the phone lists both devices")
    tower.kill()
    tower.start()
    tower.ctl("remove", "second", "--yes")
    assert len(simulator.devices(PHONE)) == 1
    tower.wait_for_state("first", "connected")


def test_another_phone_than_before_is_refused_unless_allowed(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("logout", "sales", "--yes")
    simulator.scan(payload(tower, "sales"), OTHER_PHONE)
    account = wait_for_reason(tower, "sales", "wrong-phone")
    assert "--new-phone" in str(account["action"])
    assert simulator.devices(OTHER_PHONE) == []
    tower.ctl("pair", "sales", "--new-phone")
    simulator.scan(payload(tower, "sales"), OTHER_PHONE)
    assert tower.wait_for_state("sales", "connected")["phone"] == f"+{OTHER_PHONE}"
    (event,) = tower.events("session.phone_changed")
    assert event["data"] == {"old": f"+{PHONE}", "new": f"+{OTHER_PHONE}"}
    assert "phone-changed" in [row["action"] for row in tower.rpc("audit.list")["audits"]]


def test_an_expected_phone_is_expected_at_once(tower: Tower, simulator: Simulator) -> None:
    tower.ctl("add", "sales", "--expect-phone", f"+{PHONE}")
    simulator.scan(payload(tower, "sales"), OTHER_PHONE)
    wait_for_reason(tower, "sales", "wrong-phone")
    tower.ctl("pair", "sales")
    simulator.scan(payload(tower, "sales"), PHONE)
    tower.wait_for_state("sales", "connected")


def test_the_first_to_connect_is_primary_and_the_oldest_follows(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "first", PHONE)
    tower.link(simulator, "second", OTHER_PHONE)
    tower.link(simulator, "third", "491700000003")

    def primary() -> list[str]:
        return [one["name"] for one in tower.rpc("account.list")["accounts"] if one["primary"]]

    assert primary() == ["first"]
    simulator.drop(PHONE)
    tower.wait_for_state("first", "connected")
    assert primary() == ["first"]
    tower.rpc("account.set", account="third", primary=True)
    assert primary() == ["third"]
    tower.ctl("remove", "third", "--yes")
    assert primary() == ["first"]
    tower.ctl("unpair", "first", "--yes")
    assert primary() == ["second"]


def test_a_pairing_code_links_the_phone(tower: Tower, simulator: Simulator) -> None:
    added = json.loads(tower.ctl("add", "sales", "--phone", f"+{PHONE}", "--json"))
    code = added["code"]
    assert len(code.replace("-", "")) == 8
    assert tower.account("sales")["pairing"]["method"] == "code"
    again = tower.rpc("account.pair", account="sales", phone=PHONE)
    assert again["code"] == code
    simulator.link_code(code, PHONE)
    assert tower.wait_for_state("sales", "connected")["phone"] == f"+{PHONE}"
    assert code not in tower.log()
    assert code not in json.dumps(tower.events())


def test_a_pairing_code_outlives_the_line_by_asking_anew(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.ctl("add", "sales", "--no-pair")
    first = tower.rpc("account.pair", account="sales", phone=PHONE)["code"]
    simulator.drop_unpaired()
    wait_for(lambda: len(tower.events("session.code")) == 2, seconds=30, what="a new code is announced")
    second = tower.rpc("account.pair", account="sales", phone=PHONE)["code"]
    assert second != first
    simulator.link_code(second, PHONE)
    tower.wait_for_state("sales", "connected")


def test_a_pairing_by_code_goes_on_by_code_after_a_kill_of_the_daemon(
    tower: Tower, simulator: Simulator
) -> None:
    tower.ctl("add", "sales", "--phone", f"+{PHONE}")
    tower.kill()
    tower.start()
    wait_for(lambda: len(tower.events("session.code")) == 2, seconds=30, what="a new code is announced")
    code = tower.rpc("account.pair", account="sales", phone=PHONE)["code"]
    simulator.link_code(code, PHONE)
    tower.wait_for_state("sales", "connected")


def test_a_passkey_request_is_named(tower: Tower, simulator: Simulator, untouched: None) -> None:
    simulator.passkey()
    tower.ctl("add", "sales")
    simulator_error = None
    try:
        simulator.scan(payload(tower, "sales"), PHONE)
    except Exception as error:
        simulator_error = error
    account = tower.wait_for_state("sales", "failed")
    assert account["reason"] == "passkey-required", simulator_error
    assert "passkey" in account["action"]
    assert tower.run("qr", "sales").returncode == 8


def test_audit_says_who_did_what(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    simulator.logout(PHONE)
    tower.wait_for_state("sales", "pairing")
    tower.ctl("remove", "sales", "--yes")
    rows = tower.rpc("audit.list")["audits"]
    told = [(row["source"], row["action"], row["result"]) for row in rows]
    for expected in (
        ("cli", "account.add", "done"),
        ("cli", "account.qr", "done"),
        ("phone", "paired", "done"),
        ("phone", "logged-out", "done"),
        ("daemon", "wiped", "done"),
        ("cli", "account.remove", "done"),
    ):
        assert expected in told
    assert {row["account"]["name"] for row in rows if row["account"]} == {"sales"}
    assert tower.run("show", "nobody").returncode == 5

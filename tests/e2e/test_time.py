"""What time does: pairing attempts that end, leftovers of the last run, a wall clock that jumps."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.bystander import BYSTANDER, comes_back, stays_connected
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
SHIFTED = (sys.executable, "-m", "tests.e2e.shifted_towerd")
CHECKOUT = Path(__file__).parents[2]


def test_an_attempt_that_nobody_scans_is_parked_and_begins_again_by_one_command(simulator: Simulator) -> None:
    with Tower(simulator, config="[pairing]\ntimeout_seconds = 4\n") as tower:
        tower.ctl("add", "sales")
        account = tower.wait_for_state("sales", "unpaired", seconds=20)
        assert account["reason"] == "pairing-timeout"
        assert account["pairing"] is None
        assert tower.workers() == []
        store = tower.state / "sessions" / account["id"]
        assert list(store.iterdir()) == []
        assert len(tower.events("session.timeout")) == 1
        answer = tower.rpc("account.qr", account="sales", start=True, wait_seconds=10)
        simulator.scan(answer["qr"]["data"], PHONE)
        tower.wait_for_state("sales", "connected")


def test_a_worker_that_cannot_reach_whatsapp_is_not_called_a_timeout(simulator: Simulator) -> None:
    with (
        Tower(simulator, config="[pairing]\ntimeout_seconds = 4\n") as tower,
        stays_connected(tower, simulator),
    ):
        simulator.refuse()
        tower.ctl("add", "sales")
        wait_for(lambda: tower.account("sales")["reason"] in ("refused", "proxy"), what="the cause is named")
        account = tower.wait_for_state("sales", "unpaired", seconds=20)
        assert account["reason"] == "pairing-interrupted"


def test_an_unlink_whose_automatic_pairing_ran_out_still_says_who_unlinked(simulator: Simulator) -> None:
    with (
        Tower(simulator, config="[pairing]\ntimeout_seconds = 6\n") as tower,
        stays_connected(tower, simulator),
    ):
        tower.link(simulator, "sales", PHONE)
        simulator.logout(PHONE)
        tower.wait_for_state("sales", "pairing")
        account = tower.wait_for_state("sales", "unpaired", seconds=20)
        assert account["reason"] == "logged-out-by-phone"


def test_automatic_pairing_can_be_switched_off(simulator: Simulator) -> None:
    with Tower(simulator, config="[pairing]\nautomatic = false\n") as tower:
        tower.link(simulator, "sales", PHONE)
        simulator.logout(PHONE)
        account = tower.wait_for_state("sales", "unpaired")
        assert account["reason"] == "logged-out-by-phone"
        assert tower.workers() == []
        assert tower.run("wait", "sales", "--for", "connected", "--timeout", "20").returncode == 8


def test_the_restart_after_a_scan_has_a_minute_of_its_own(simulator: Simulator) -> None:
    config = "[pairing]\nauthenticated_seconds = 3\n"
    with Tower(simulator, config=config) as tower:
        tower.ctl("add", "sales")
        answer = tower.rpc("account.qr", account="sales", wait_seconds=20)
        simulator.hold_success()
        simulator.scan(answer["qr"]["data"], PHONE)
        tower.wait_for_state("sales", "connecting", seconds=20)
        assert tower.account("sales")["reason"] in ("timeout", "start-queued")
        simulator.hold_success(on=False)
        tower.wait_for_state("sales", "connected", seconds=60)
        assert len(simulator.devices(PHONE)) == 1


def test_a_pairing_inside_its_deadline_goes_on_after_a_restart(simulator: Simulator) -> None:
    with Tower(simulator) as tower:
        tower.ctl("add", "sales")
        before = tower.account("sales")["pairing"]["deadline_at"]
        tower.kill()
        tower.start()
        wait_for(lambda: tower.account("sales")["pairing"] is not None, what="the attempt goes on")
        assert tower.account("sales")["pairing"]["deadline_at"] == before
        answer = tower.rpc("account.qr", account="sales", wait_seconds=20)
        simulator.scan(answer["qr"]["data"], PHONE)
        tower.wait_for_state("sales", "connected")


def test_a_pairing_past_its_deadline_is_settled_at_the_start(simulator: Simulator) -> None:
    with Tower(simulator) as tower:
        tower.ctl("add", "sales")
        tower.rpc("account.qr", account="sales", wait_seconds=20)
        tower.kill()
        tower.config.write_text("[pairing]\ntimeout_seconds = 0.001\n")
        tower.start()
        account = tower.wait_for_state("sales", "unpaired")
        assert account["reason"] == "pairing-interrupted"
        assert list((tower.state / "sessions" / account["id"]).iterdir()) == []


def test_a_scan_that_the_killed_daemon_never_heard_of_is_a_linked_account(simulator: Simulator) -> None:
    with Tower(simulator) as tower, comes_back(tower, simulator):
        tower.ctl("add", "sales")
        code = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]["data"]
        simulator.hold_success()
        simulator.scan(code, PHONE)
        tower.kill()
        simulator.hold_success(on=False)
        tower.start()
        tower.wait_for_state("sales", "connected")
        assert len(simulator.devices(PHONE)) == 1


def test_a_jump_of_the_wall_clock_disturbs_neither_sessions_nor_the_qr(simulator: Simulator) -> None:
    tower = Tower(simulator, command=SHIFTED)
    shift = tower.directory / "shift"
    shift.write_text("0")
    tower.environment["TOWER_TEST_CLOCK_SHIFT"] = str(shift)
    tower.environment["PYTHONPATH"] = f"{tower.environment['PYTHONPATH']}:{CHECKOUT}"
    with tower, stays_connected(tower, simulator):
        linked = tower.link(simulator, "linked", PHONE)
        tower.ctl("add", "sales")
        tower.rpc("account.qr", account="sales", wait_seconds=20)
        for jump in ("7200", "-7200", "31536000"):
            shift.write_text(jump)
            account = tower.account("linked")
            assert (account["state"], account["since"]) == ("connected", linked["since"])
            qr = tower.rpc("account.qr", account="sales")["qr"]
            assert 0 < qr["expires_in_seconds"] <= 60
        simulator.scan(qr["data"], "491707654321")
        tower.wait_for_state("sales", "connected")


def test_a_removal_cut_short_by_a_kill_is_finished_at_the_start(simulator: Simulator) -> None:
    with Tower(simulator) as tower, comes_back(tower, simulator):
        account = tower.link(simulator, "sales", PHONE)
        simulator.mute()
        connection = tower.connect()
        connection.sendall(
            b'{"jsonrpc": "2.0", "id": 1, "method": "account.remove", "params": {"account": "sales"}}\n'
        )
        # The intent is durable before WhatsApp is asked; the kill falls while it does not answer.
        wait_for(lambda: intent(tower) == "remove", what="the intent is recorded")
        tower.kill()
        connection.close()
        simulator.mute(on=False)
        tower.start()
        wait_for(lambda: names(tower) == [BYSTANDER], seconds=30, what="the account is gone")
        assert list((tower.state / "sessions").glob(f"*{account['id']}*")) == []
        assert simulator.devices(PHONE) == []


def test_a_logout_cut_short_by_a_kill_is_finished_at_the_start(simulator: Simulator) -> None:
    with Tower(simulator) as tower, comes_back(tower, simulator):
        tower.link(simulator, "sales", PHONE)
        tower.ctl("stop", "sales")
        simulator.mute()
        connection = tower.connect()
        connection.sendall(
            b'{"jsonrpc": "2.0", "id": 1, "method": "account.logout", "params": {"account": "sales"}}\n'
        )
        wait_for(lambda: intent(tower) == "logout", what="the intent is recorded")
        tower.kill()
        connection.close()
        simulator.mute(on=False)
        tower.start()
        account = tower.wait_for_state("sales", "unpaired")
        assert (account["reason"], account["desired"]) == ("logged-out-by-operator", "stopped")
        assert simulator.devices(PHONE) == []


def names(tower: Tower) -> list[str]:
    return [account["name"] for account in tower.rpc("account.list")["accounts"]]


def intent(tower: Tower) -> str | None:
    import contextlib
    import sqlite3

    with contextlib.closing(sqlite3.connect(tower.state / "tower.db")) as database:
        return str(database.execute("SELECT intent FROM account WHERE name = 'sales'").fetchone()[0])


def test_events_are_followed_over_a_restart_without_gap_or_repeat(simulator: Simulator) -> None:
    with Tower(simulator) as tower:
        tower.link(simulator, "sales", PHONE)
        last = tower.events()[4]["id"]
        tower.kill()
        tower.start()
        tower.wait_for_state("sales", "connected")
        after = [event["id"] for event in tower.rpc("event.list", since=last)["events"]]
        assert after == list(range(last + 1, last + 1 + len(after)))

"""What was linked stays linked: kills of the daemon, of workers, at every step, and damaged stores."""

from __future__ import annotations

import json
import os
import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bystander import BYSTANDER, comes_back
from tests.e2e.tower import Tower, alive, fork_servers
from tests.whatsapp.simulator import SimulatorError, wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
SWEEP_SEED = 20261121
SWEEP_KILLS_EACH = 8


def qr_events(tower: Tower) -> int:
    return len(tower.events("session.qr"))


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_after_a_restart_of_the_daemon_the_account_connects_without_a_qr(
    tower: Tower, simulator: Simulator, touched: None, how: str
) -> None:
    before = tower.link(simulator, "sales", PHONE)
    shown = qr_events(tower)
    getattr(tower, how)()
    tower.start()
    after = tower.wait_for_state("sales", "connected")
    assert (after["jid"], after["device_number"]) == (before["jid"], before["device_number"])
    assert qr_events(tower) == shown
    assert len(simulator.devices(PHONE)) == 1


def test_sigterm_with_several_accounts_is_quick_and_logs_nobody_out(
    tower: Tower, simulator: Simulator
) -> None:
    phones = {f"account-{n}": f"49170000000{n}" for n in range(1, 4)}
    for name, phone in phones.items():
        tower.link(simulator, name, phone)
    pids = tower.workers()
    assert tower.terminate() < 10
    assert not any(alive(pid) for pid in pids)
    tower.start()
    for name, phone in phones.items():
        tower.wait_for_state(name, "connected")
        assert len(simulator.devices(phone)) == 1


def test_workers_end_with_a_killed_daemon(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    (worker,) = tower.workers()
    assert tower.process is not None
    tower.process.kill()
    wait_for(lambda: not alive(worker), what="the worker ends at the end of its socketpair")


def test_a_stopped_account_stays_stopped_over_a_restart(tower: Tower, simulator: Simulator) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.ctl("stop", "sales")
    simulator.wait_offline(PHONE)
    tower.kill()
    tower.start()
    account = tower.wait_for_state("sales", "stopped")
    assert (account["desired"], account["reason"]) == ("stopped", "stopped-by-operator")
    assert tower.workers() == []
    tower.ctl("start", "sales")
    tower.wait_for_state("sales", "connected")


def test_a_killed_worker_is_replaced_and_the_other_account_does_not_notice(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    victim = tower.account("sales")["worker"]["pid"]
    os.kill(victim, signal.SIGKILL)
    tower.wait_for_state("sales", "reconnecting")
    tower.wait_for_state("sales", "connected")
    assert tower.account("sales")["worker"]["pid"] != victim


def test_a_killed_fork_server_harms_nobody_and_is_replaced(
    tower: Tower, simulator: Simulator, untouched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    carries = tower.account("sales")["worker"]["pid"]
    assert tower.process is not None
    (server,) = fork_servers(tower.process.pid)
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: not alive(server), what="the fork server is gone")
    tower.link(simulator, "support", "491707654321")
    assert fork_servers(tower.process.pid) != [server]
    assert tower.account("sales")["worker"]["pid"] == carries
    # Nobody can say how it ended; that it ended is enough.
    os.kill(carries, signal.SIGKILL)
    tower.wait_for_state("sales", "reconnecting")
    tower.wait_for_state("sales", "connected")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("part", range(4))
def test_a_worker_killed_anywhere_after_the_scan_leaves_no_ghost(
    tower: Tower, simulator: Simulator, untouched: None, part: int
) -> None:
    kill_workers_after_scans(tower, simulator, part)


def kill_workers_after_scans(tower: Tower, simulator: Simulator, part: int) -> None:
    """Kills of the first 2 s after a scan: every device the server holds is connected again in the end."""
    dice = random.Random(SWEEP_SEED + part)
    for n in range(SWEEP_KILLS_EACH):
        name, phone = f"kill-{n}", f"4915{part}0000000{n}"
        tower.rpc("account.add", name=name)
        qr = tower.rpc("account.qr", account=name, wait_seconds=30)["qr"]
        victim = tower.account(name)["worker"]["pid"]
        delay = dice.uniform(0, 2)
        # The delay is the experiment: the kill falls at a random moment of the pairing.
        killer = os.fork()
        if killer == 0:
            signal.sigtimedwait([], delay)
            os.kill(victim, signal.SIGKILL)
            os._exit(0)
        try:
            simulator.scan(qr["data"], phone)
        except SimulatorError:
            # The client died before it could confirm; the server has no device then.
            assert simulator.devices(phone) == []
        os.waitpid(killer, 0)
        wait_for_settlement(tower, simulator, name, phone, f"killed after {delay:.3f} s")
        history = tower.rpc("account.get", account=name)["history"]
        assert "logged-out-by-phone" not in [step["reason"] for step in history]
        removed = tower.rpc("account.remove", account=name)
        assert simulator.devices(phone) == [], (removed, tower.log())


def wait_for_settlement(tower: Tower, simulator: Simulator, name: str, phone: str, what: str) -> None:
    wait_for(lambda: settled(tower, simulator, name, phone), seconds=45, what=f"{name} {what}")


def settled(tower: Tower, simulator: Simulator, name: str, phone: str) -> bool:
    """The server's devices and our account agree: linked and online, or neither and a new QR is on offer."""
    devices = simulator.devices(phone)
    account = tower.account(name)
    if not devices:
        return bool(account["state"] == "pairing" and account["pairing"]["number"] > 0)
    return bool(account["state"] == "connected" and [device["is_online"] for device in devices] == [True])


@pytest.mark.parametrize("damage", ["garbage", "empty", "missing", "directory"])
def test_one_damaged_store_beside_a_good_one(
    tower: Tower, simulator: Simulator, touched: None, damage: str
) -> None:
    bad = tower.link(simulator, "bad", PHONE)
    tower.terminate()
    store = tower.state / "sessions" / bad["id"] / "store.db"
    store.unlink()
    if damage == "garbage":
        store.write_bytes(b"not a database at all" * 400)
    elif damage == "empty":
        store.write_bytes(b"")
    elif damage == "directory":
        store.mkdir()
    tower.start()
    account = tower.wait_for_state("bad", "failed")
    assert account["reason"] == "store-damaged"
    assert "unpair" in account["action"]
    tower.wait_for_state(BYSTANDER, "connected")
    waited = tower.run("wait", "bad", "--for", "connected", "--timeout", "20")
    assert waited.returncode == 8
    # One command and a scan cure it.
    tower.ctl("unpair", "bad", "--yes")
    answer = tower.rpc("account.qr", account="bad", wait_seconds=20, start=True)
    simulator.scan(answer["qr"]["data"], PHONE)
    tower.wait_for_state("bad", "connected")


def test_a_damaged_registry_is_replaced_from_its_backup(
    tower: Tower, simulator: Simulator, touched: None
) -> None:
    tower.link(simulator, "sales", PHONE)
    tower.terminate()
    tower.start()
    tower.wait_for_state("sales", "connected")
    newest = max(event["id"] for event in tower.events())
    tower.kill()
    (tower.state / "tower.db").write_bytes(b"garbage" * 1000)
    for side in ("tower.db-wal", "tower.db-shm"):
        (tower.state / side).unlink(missing_ok=True)
    tower.start()
    tower.wait_for_state("sales", "connected")
    assert any("tower.db" in problem for problem in tower.rpc("daemon.status")["problems"])
    assert min(event["id"] for event in tower.events("daemon.started")[-1:]) > newest


def test_without_registry_and_backup_the_accounts_come_back_from_their_stores(
    tower: Tower, simulator: Simulator
) -> None:
    before = tower.link(simulator, "sales", PHONE)
    tower.kill()
    for path in tower.state.glob("tower.db*"):
        path.unlink()
    tower.start()
    after = tower.wait_for_state(before["id"], "connected")
    assert after["jid"] == before["jid"]
    assert len(simulator.devices(PHONE)) == 1


def test_a_start_is_bounded_and_tells_how_far_it_is(simulator: Simulator) -> None:
    names = [f"account-{n}" for n in range(1, 6)]
    with (
        Tower(simulator, config="[start]\nparallel = 1\nspread_seconds = 0\n") as tower,
        comes_back(tower, simulator),
    ):
        for n, name in enumerate(names):
            tower.link(simulator, name, f"49170000010{n}")
        tower.terminate()
        tower.start()
        most_at_once, last_done = 0, 0

        def look() -> bool:
            nonlocal most_at_once, last_done
            status = tower.rpc("daemon.status")
            pids = {one["account"] for one in status["workers"]}
            connected = status["accounts"].get("connected", 0)
            most_at_once = max(most_at_once, len(pids) - connected)
            assert status["starting"]["done"] >= last_done
            last_done = status["starting"]["done"]
            return connected == len(names) + 1

        wait_for(look, seconds=60, what="all are connected")
        # A worker may have connected between the two figures of one answer, never the other way round.
        assert most_at_once <= 1
        wait_for(lambda: tower.rpc("daemon.status")["starting"] == {"done": 6, "total": 6}, what="all told")


@pytest.mark.parametrize("verb", ["stop", "restart", "unpair", "logout", "remove"])
def test_a_client_that_hangs_up_in_the_middle_leaves_no_half_done_command(
    tower: Tower, simulator: Simulator, verb: str
) -> None:
    tower.link(simulator, "sales", PHONE)
    for _ in range(5):
        request = {"jsonrpc": "2.0", "id": 1, "method": f"account.{verb}", "params": {"account": "sales"}}
        with tower.connect() as connection:
            connection.sendall(json.dumps(request).encode() + b"\n")
        wait_for(lambda: rests(tower, verb), what=f"{verb} comes to its end")
        if verb == "stop":
            tower.rpc("account.start", account="sales")
            tower.wait_for_state("sales", "connected")
    if verb in ("logout", "remove"):
        assert simulator.devices(PHONE) == []


def rests(tower: Tower, verb: str) -> bool:
    """The state that the command leads to, with as many workers as it needs."""
    wanted = {"stop": "stopped", "restart": "connected", "unpair": "unpaired", "logout": "unpaired"}
    accounts = tower.rpc("account.list")["accounts"]
    states = [account["state"] for account in accounts]
    expected = [wanted[verb]] if verb in wanted else []
    return states == expected and len(tower.workers()) == (verb == "restart")

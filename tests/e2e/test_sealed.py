"""Sealed stores with the real client: nothing plain on the disk, nothing lost, and never a silent new QR."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.disks import fill, needs_mounts, small_disk
from tests.e2e.sealed_tower import SealedTower
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
CONTACT = "491605550100"


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[SealedTower]:
    with SealedTower(simulator) as started:
        yield started


def assert_nothing_plain_on_the_disk(tower: SealedTower) -> None:
    files = [path for path in (tower.state / "sessions").rglob("*") if path.is_file()]
    assert {path.name for path in files if path.suffix != ".lock"} <= {"store.sealed", "store.sealed.new"}
    for path in files:
        content = path.read_bytes()
        assert b"SQLite" not in content
        assert PHONE.encode() not in content


def qr_events(tower: Tower) -> int:
    return len(tower.events("session.qr"))


def test_a_session_lives_sealed_and_rests_with_nothing_in_memory(
    tower: SealedTower, simulator: Simulator
) -> None:
    account = tower.link(simulator, "sales", PHONE)
    assert len(tower.plain()) == 1
    assert_nothing_plain_on_the_disk(tower)
    status = tower.rpc("daemon.status")["stores"]
    assert (status["sealed"], status["trouble"]) == (True, None)
    assert tower.key.read_bytes().hex() not in str(status) + tower.log()
    tower.ctl("stop", "sales")
    wait_for(lambda: tower.plain() == [], what="the plain store is put away")
    tower.ctl("start", "sales")
    tower.wait_for_state("sales", "connected")
    tower.terminate()
    assert tower.plain() == []
    assert tower.sealed(account).exists()
    tower.start()
    tower.wait_for_state("sales", "connected")
    assert len(simulator.devices(PHONE)) == 1
    assert qr_events(tower) == 1


@pytest.mark.parametrize("how", ["kill", "lose_power"])
def test_after_a_kill_or_a_loss_of_power_a_sealed_account_connects_without_a_qr(
    tower: SealedTower, simulator: Simulator, how: str
) -> None:
    before = tower.link(simulator, "sales", PHONE)
    getattr(tower, how)()
    tower.start()
    after = tower.wait_for_state("sales", "connected")
    assert (after["jid"], after["device_number"]) == (before["jid"], before["device_number"])
    assert qr_events(tower) == 1
    assert_nothing_plain_on_the_disk(tower)


def test_a_pairing_that_was_reported_outlives_a_loss_of_power_at_once(
    tower: SealedTower, simulator: Simulator
) -> None:
    for number in range(5):
        name, phone = f"account-{number}", f"49170000000{number}"
        tower.rpc("account.add", name=name)
        answer = tower.rpc("account.qr", account=name, format="raw", wait_seconds=30)
        simulator.scan(answer["qr"]["data"], phone)
        tower.wait_for_state(name, "authenticated", "connected")
        tower.lose_power()
        tower.start()
        tower.wait_for_state(name, "connected")
        assert len(simulator.devices(phone)) == 1


def test_a_plain_store_is_sealed_by_the_first_start_with_a_key(simulator: Simulator) -> None:
    with SealedTower(simulator) as tower:
        tower.kill()
        secret = tower.key.read_bytes()
        tower.give_key(None)
        tower.start()
        tower.link(simulator, "sales", PHONE)
        assert not tower.rpc("daemon.status")["stores"]["sealed"]
        assert tower.plain() == []
        tower.kill()
        tower.give_key(secret)
        tower.start()
        tower.wait_for_state("sales", "connected")
        assert_nothing_plain_on_the_disk(tower)
        assert len(simulator.devices(PHONE)) == 1


@pytest.mark.parametrize("key", ["another", "none"])
def test_the_wrong_key_is_named_and_never_a_new_qr(
    tower: SealedTower, simulator: Simulator, key: str
) -> None:
    account = tower.link(simulator, "sales", PHONE)
    tower.terminate()
    secret = tower.key.read_bytes()
    before = tower.sealed(account).read_bytes()
    tower.give_key(os.urandom(32) if key == "another" else None)
    tower.start()
    shown = tower.wait_for_state("sales", "failed")
    assert shown["reason"] == "wrong-key"
    assert "give towerd that key" in shown["action"]
    assert qr_events(tower) == 1
    assert tower.run("qr", "sales").returncode == 8
    assert tower.sealed(account).read_bytes() == before
    tower.terminate()
    tower.give_key(secret)
    tower.start()
    wait_for(lambda: tower.account("sales")["state"] == "connected", what="the account is tried anew")
    assert qr_events(tower) == 1


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "older"])
def test_a_sealed_store_that_was_tampered_with_is_damaged(
    tower: SealedTower, simulator: Simulator, damage: str
) -> None:
    account = tower.link(simulator, "sales", PHONE)
    other = tower.link(simulator, "support", "491707654321")
    tower.ctl("stop", "sales")
    wait_for(lambda: len(tower.plain()) == 1, what="the plain store is put away")
    old = tower.sealed(account).read_bytes()
    tower.ctl("start", "sales")
    tower.wait_for_state("sales", "connected")
    # The ratchet moves with the message: a session that only logs in may leave the store as it was.
    simulator.deliver(PHONE, CONTACT, "hello")
    wait_for(lambda: tower.account("sales")["received_today"] == 1, what="the message is here")
    tower.terminate()
    path = tower.sealed(account)
    assert path.read_bytes() != old
    content = bytearray(path.read_bytes())
    match damage:
        case "flip":
            content[len(content) // 2] ^= 4
        case "cut":
            del content[len(content) // 2 :]
        case "swap":
            content = bytearray(tower.sealed(other).read_bytes())
        case "older":
            content = bytearray(old)
    path.write_bytes(content)
    tower.start()
    shown = tower.wait_for_state("sales", "failed")
    assert shown["reason"] == "store-damaged"
    tower.wait_for_state("support", "connected")
    assert path.read_bytes() == bytes(content)
    assert len(simulator.devices(PHONE)) == 1
    assert qr_events(tower) == 2


@pytest.fixture
def cramped(simulator: Simulator) -> Iterator[SealedTower]:
    """A towerd whose state directory is a disk of its own."""
    tower = SealedTower(simulator)
    try:
        with small_disk(tower.state, 8):
            try:
                tower.start()
                yield tower
            finally:
                tower.kill()
    finally:
        tower.close()


@needs_mounts
def test_on_a_full_disk_a_pairing_is_told_of_only_when_it_is_sealed(
    cramped: SealedTower, simulator: Simulator
) -> None:
    cramped.rpc("account.add", name="sales")
    answer = cramped.rpc("account.qr", account="sales", format="raw", wait_seconds=30)
    filler = fill(cramped.state)
    simulator.scan(answer["qr"]["data"], PHONE)
    wait_for(lambda: cramped.rpc("daemon.status")["stores"]["trouble"] is not None, what="it is told")
    assert "No space left" in cramped.ctl("status")
    assert cramped.account("sales")["state"] == "pairing"
    filler.unlink()
    cramped.wait_for_state("sales", "connected")
    wait_for(lambda: cramped.rpc("daemon.status")["stores"]["trouble"] is None, what="the end is told")
    cramped.lose_power()
    cramped.start()
    cramped.wait_for_state("sales", "connected")
    assert len(simulator.devices(PHONE)) == 1


@needs_mounts
def test_on_a_full_disk_a_sealed_session_stays_up_and_comes_back(
    cramped: SealedTower, simulator: Simulator
) -> None:
    cramped.link(simulator, "sales", PHONE)
    filler = fill(cramped.state)
    simulator.drop(PHONE)
    cramped.wait_for_state("sales", "reconnecting")
    cramped.wait_for_state("sales", "connected")
    os.kill(cramped.account("sales")["worker"]["pid"], signal.SIGKILL)
    cramped.wait_for_state("sales", "reconnecting")
    cramped.wait_for_state("sales", "connected")
    filler.unlink()
    wait_for(lambda: cramped.rpc("daemon.status")["stores"]["trouble"] is None, what="all is sealed")
    cramped.terminate()
    assert cramped.plain() == []
    cramped.start()
    cramped.wait_for_state("sales", "connected")

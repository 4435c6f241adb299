"""kill -9 of anything with sealed stores, at random moments: what a plain store keeps, a sealed one keeps.

And losses of power: what was reported is there. What they can cost beside that is measured and written to the
log of the run.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from tests.e2e.sealed_tower import SealedTower
from tests.e2e.test_survival import kill_workers_after_scans
from tests.e2e.victim import CONFIG, Victim
from tests.whatsapp.simulator import SimulatorError, wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

SEED = 20261122
DAEMONS = 2
KILLS_EACH = int(os.environ.get("TOWER_TEST_KILLS", "40")) // DAEMONS
LOSSES = int(os.environ.get("TOWER_TEST_LOSSES", "12"))


@pytest.mark.timeout(7200 if KILLS_EACH > 20 else 600)
def test_kills_of_a_daemon_with_sealed_stores_lose_nothing_that_was_acknowledged(
    simulator: Simulator,
) -> None:
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            with SealedTower(simulator, config=CONFIG) as tower:
                Victim(tower, simulator, number, seed=SEED).run(KILLS_EACH)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(DAEMONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.mark.timeout(400)
def test_kills_of_workers_with_sealed_stores_leave_no_ghost(simulator: Simulator) -> None:
    with SealedTower(simulator) as tower:
        kill_workers_after_scans(tower, simulator, 4)


@pytest.mark.timeout(900)
def test_losses_of_power_lose_no_device_that_was_reported(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    dice, ghosts, kept = random.Random(SEED), 0, 0
    for number in range(LOSSES):
        with SealedTower(simulator, config=CONFIG) as tower:
            phone = f"49152{number:08}"
            is_reported = scan_and_lose_power(tower, simulator, phone, dice.uniform(0, 1.0))
            tower.start()
            if not simulator.devices(phone):
                continue
            # The phone has the device. We have it for certain if we had said so.
            is_kept = settles(tower)
            assert is_kept or not is_reported, tower.log()
            kept, ghosts = kept + is_kept, ghosts + (not is_kept)
    with capsys.disabled():
        print(f"\n{LOSSES} losses of power within a second of a scan: {kept} devices kept, {ghosts} lost")
    assert kept


def scan_and_lose_power(tower: SealedTower, simulator: Simulator, phone: str, delay_seconds: float) -> bool:
    """Scan, lose power a moment later, and tell whether the daemon had reported the device before."""
    tower.rpc("account.add", name="sales")
    qr = tower.rpc("account.qr", account="sales", wait_seconds=30)["qr"]
    assert tower.process is not None
    daemon = tower.process.pid
    # The delay is the experiment.
    killer = threading.Timer(delay_seconds, os.kill, (daemon, signal.SIGKILL))
    is_reported = False
    killer.start()
    try:
        simulator.scan(qr["data"], phone)
        while True:
            state = tower.account("sales")["state"]
            is_reported = is_reported or state in ("authenticated", "connected")
    except (SimulatorError, OSError, ValueError):
        killer.join()
    tower.lose_power()
    return is_reported


def settles(tower: SealedTower) -> bool:
    """Wait until the account knows whether it has a device."""

    def known() -> bool:
        account = tower.account("sales")
        has_qr = account["state"] == "pairing" and account["pairing"]["number"] > 0
        return account["state"] in ("connected", "unpaired") or has_qr

    wait_for(known, seconds=45, what="the account knows")
    return bool(tower.account("sales")["state"] == "connected")

"""After many faults nothing is left over: no process, descriptor, thread or memory."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bystander import footprint, stays_connected, told_workers
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from tests.whatsapp.simulator import Simulator

PHONE = "491701234567"
ROUNDS = 6
CONFIG = """
[reconnect]
library_seconds = 1
base_seconds = 0.1
cap_seconds = 0.5
stable_seconds = 0.01
[pairing]
timeout_seconds = 60
[truth]
quiet_seconds = 1
probe_seconds = 2
"""


def one_round(tower: Tower, simulator: Simulator) -> None:
    """One of each: worker killed, stopped, line dropped, ban, unlink, hung-up clients, a passing account."""
    os.kill(tower.account("sales")["worker"]["pid"], signal.SIGKILL)
    tower.wait_for_state("sales", "reconnecting")
    tower.wait_for_state("sales", "connected")
    simulator.drop(PHONE)
    tower.wait_for_state("sales", "connected")
    os.kill(tower.account("sales")["worker"]["pid"], signal.SIGSTOP)
    tower.wait_for_state("sales", "reconnecting")
    tower.wait_for_state("sales", "connected")
    simulator.ban(PHONE, 402, expire=1)
    tower.wait_for_state("sales", "reconnecting")
    tower.wait_for_state("sales", "connected")
    simulator.logout(PHONE)
    tower.wait_for_state("sales", "pairing")
    qr = tower.rpc("account.qr", account="sales", wait_seconds=20)["qr"]
    simulator.scan(qr["data"], PHONE)
    tower.wait_for_state("sales", "connected")
    tower.rpc("account.add", name="guest")
    tower.rpc("account.qr", account="guest", wait_seconds=20)
    for line in (b"", b"half a line", b"not json\n", b'{"jsonrpc": "2.0", "method": "event.subscribe"}\n'):
        with tower.connect() as connection:
            connection.sendall(line)
    tower.rpc("account.remove", account="guest")


@pytest.mark.timeout(400)
def test_nothing_is_left_over_after_many_faults(simulator: Simulator) -> None:
    with Tower(simulator, config=CONFIG) as tower, stays_connected(tower, simulator):
        tower.link(simulator, "sales", PHONE)
        one_round(tower, simulator)
        assert tower.process is not None
        before = footprint(tower)
        for _ in range(ROUNDS):
            one_round(tower, simulator)
        wait_for(lambda: len(tower.workers()) == len(told_workers(tower)) == 2, what="two workers are left")
        wait_for(lambda: footprint(tower).descriptors <= before.descriptors, what="descriptors are back")
        assert footprint(tower).threads <= before.threads + 2
        # 4 MB of slack for what an interpreter keeps; a leaked worker handle or QR would show as more.
        assert footprint(tower).memory_kib <= before.memory_kib + 4096
        assert [path.name for path in (tower.state / "sessions").iterdir() if path.name.startswith(".")] == []

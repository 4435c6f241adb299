"""The account beside a fault, and the daemon around it: neither keeps anything of what happened.

The one rule: who stays connected is told by the number of the connection at the simulator, which only rises;
what is left over is told by the kernel, not by the daemon.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.tower import fork_servers
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.tower import Tower
    from tests.whatsapp.simulator import Simulator

BYSTANDER = "bystander"
BYSTANDER_PHONE = "493012345678"

_OF_A_WORKER = 4
"""Descriptors of each worker: socketpair, output and pidfd of towerd's, a pidfd of its fork server's."""
_POOL = min(32, (os.cpu_count() or 1) + 4)
"""What asyncio's pool for calls that block grows to, one thread after the other, and never shrinks from."""
_SLACK_KIB = 4096
"""What the interpreter keeps of code that ran for the first time; growth by use is held by test_leaks.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What towerd and its fork server hold, the workers' part taken off."""

    descriptors: int
    threads: int
    memory_kib: int


@contextlib.contextmanager
def stays_connected(tower: Tower, simulator: Simulator, phone: str = BYSTANDER_PHONE) -> Iterator[None]:
    """Link an account that a fault of others must not touch; afterwards nothing may be left of the fault.

    Raises:
        AssertionError: the server saw the bystander's connection end, or something is left over.
    """
    since = tower.link(simulator, BYSTANDER, phone)["since"]
    connections = _connections(simulator, phone)
    assert len(connections) == 1
    before = footprint(tower)
    yield
    assert _connections(simulator, phone) == connections, tower.log()
    after = tower.account(BYSTANDER)
    assert (after["state"], after["since"]) == ("connected", since)
    assert_nothing_is_left(tower, before)


@contextlib.contextmanager
def comes_back(tower: Tower, simulator: Simulator, phone: str = BYSTANDER_PHONE) -> Iterator[None]:
    """Link an account that a fault touches like all others; it comes back, and nothing may be left over.

    Raises:
        AssertionError: the server has no session of the bystander, or something is left over.
    """
    device = tower.link(simulator, BYSTANDER, phone)["device_number"]
    before = footprint(tower)
    yield
    tower.wait_for_state(BYSTANDER, "connected", seconds=60)
    assert simulator.wait_online(phone, seconds=60)["device"] == device
    assert_nothing_is_left(tower, before)


def assert_nothing_is_left(tower: Tower, before: Footprint) -> None:
    """Assert that towerd holds no more than before, and nothing runs but it, its fork server and its workers.

    Raises:
        AssertionError: something is left over.
    """
    assert tower.process is not None
    pid = tower.process.pid

    def processes_too_many() -> set[int]:
        return tower.processes() ^ {pid, *fork_servers(pid)[:1], *told_workers(tower)}

    wait_for(lambda: not processes_too_many(), what="no process is left over")
    wait_for(lambda: _zombies({pid, *fork_servers(pid)}) == [], what="no zombie is left over")
    wait_for(lambda: footprint(tower).descriptors <= before.descriptors, what="no descriptor is left over")
    after = footprint(tower)
    assert after.threads <= before.threads + _POOL
    assert after.memory_kib <= before.memory_kib + _SLACK_KIB


def footprint(tower: Tower) -> Footprint:
    """Measure."""
    assert tower.process is not None
    pids = [tower.process.pid, *fork_servers(tower.process.pid)]
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    return Footprint(
        descriptors=descriptors - _OF_A_WORKER * len(tower.workers()),
        threads=sum(_status(pid, "Threads") for pid in pids),
        memory_kib=sum(_status(pid, "VmRSS") for pid in pids),
    )


def told_workers(tower: Tower) -> list[int]:
    """Return the pids of the workers as the daemon tells them."""
    return [worker["pid"] for worker in tower.rpc("daemon.status")["workers"]]


def _status(pid: int, key: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{key}:")).split()[1])


def _connections(simulator: Simulator, phone: str) -> list[int]:
    return [one["connection"] for one in simulator.sessions() if one["phone"] == phone]


def _zombies(parents: set[int]) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) in parents:
                found.append(int(stat.parent.name))
    return found

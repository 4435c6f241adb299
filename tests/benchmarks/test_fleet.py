"""Thirty linked accounts: memory, restart and the return of all lines, beside a pool of Baileys."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.measure import Figure, as_installed, median, spread, steady_mb
from tests.e2e.tower import Tower, children
from tests.whatsapp.baileys_pool import BaileysPool, install
from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

ACCOUNTS = 30
GOAL_RESTART_RATIO = 1.2
_AT_ONCE = 4
# The pool opens all its sockets at once; towerd spreads its logins unless it is told not to.
AT_ONCE_CONFIG = "[start]\nspread_seconds = 0\nparallel = 1000\n"


@dataclass(slots=True)
class Seen:
    """Seconds of each turn, and megabytes of proportional set size at rest."""

    tower_restarts: list[float] = field(default_factory=list)
    pool_restarts: list[float] = field(default_factory=list)
    tower_returns: list[float] = field(default_factory=list)
    pool_returns: list[float] = field(default_factory=list)
    tower_mb: float = 0.0
    pool_mb: float = 0.0
    paired_pool_mb: float = 0.0


def numbers(prefix: str, accounts: int) -> list[str]:
    return [f"{prefix}{n:03}" for n in range(accounts)]


def all_there(simulator: Simulator, phones: set[str]) -> None:
    """Wait until the server has a session of each phone."""
    wait_for(
        lambda: phones <= {one["phone"] for one in simulator.sessions()},
        seconds=120,
        what="all are connected",
    )


def seconds_until_all_are_there(simulator: Simulator, phones: set[str], began: float) -> float:
    all_there(simulator, phones)
    return time.perf_counter() - began


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    return [pid, *(one for child in children(pid) for one in family(child))]


def link_pool(simulator: Simulator, directory: Path, phones: list[str]) -> float:
    """Link a socket to each phone; return the pool's memory right after that."""
    with BaileysPool(simulator, directory, phones) as pool:
        for _ in phones:
            shown = pool.wait("qr")
            simulator.scan(shown["qr"], shown["name"])
        for _ in phones:
            pool.wait("open")
        return steady_mb([pool.pid])


def turn_of_tower(tower: Tower, simulator: Simulator, phones: set[str], seen: Seen) -> None:
    began = time.perf_counter()
    tower.start()
    seen.tower_restarts.append(seconds_until_all_are_there(simulator, phones, began))
    assert tower.process is not None
    seen.tower_mb = steady_mb(family(tower.process.pid))
    began = time.perf_counter()
    simulator.drop()
    seen.tower_returns.append(seconds_until_all_are_there(simulator, phones, began))
    tower.terminate()


def turn_of_pool(simulator: Simulator, directory: Path, phones: set[str], seen: Seen) -> None:
    began = time.perf_counter()
    with BaileysPool(simulator, directory, sorted(phones)) as pool:
        seen.pool_restarts.append(seconds_until_all_are_there(simulator, phones, began))
        seen.pool_mb = steady_mb([pool.pid])
        began = time.perf_counter()
        simulator.drop()
        seen.pool_returns.append(seconds_until_all_are_there(simulator, phones, began))


def measure(simulator: Simulator, directory: Path, *, accounts: int, turns: int) -> Seen:
    """Link as many accounts to both, then restart both in turns."""
    seen = Seen()
    ours, theirs = numbers("4917000", accounts), numbers("4918000", accounts)
    tower = Tower(simulator, config=AT_ONCE_CONFIG)
    tower.environment = as_installed(tower.environment)
    try:
        tower.start()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda phone: tower.link(simulator, f"account-{phone[-3:]}", phone), ours))
        tower.terminate()
        seen.paired_pool_mb = link_pool(simulator, directory, theirs)
        for _ in range(turns):
            turn_of_tower(tower, simulator, set(ours), seen)
            turn_of_pool(simulator, directory, set(theirs), seen)
    finally:
        tower.close()
    return seen


@pytest.mark.benchmark
@pytest.mark.timeout(900)
def test_thirty_accounts(simulator: Simulator, tmp_path: Path, record: Callable[[Figure], Figure]) -> None:
    if why := install():
        pytest.skip(why)
    seen = measure(simulator, tmp_path, accounts=ACCOUNTS, turns=3)
    ours, theirs = median(seen.tower_restarts), median(seen.pool_restarts)
    restart = record(
        Figure(
            what=f"start → all {ACCOUNTS} connected, to a Baileys pool",
            value=ours / theirs,
            unit="×",
            goal=GOAL_RESTART_RATIO,
            detail=f"{ours:.2f} s to {theirs:.2f} s; {spread(seen.tower_restarts, 's')}",
        )
    )
    back, pool_back = median(seen.tower_returns), median(seen.pool_returns)
    record(
        Figure(
            what=f"all {ACCOUNTS} lines dropped → all connected, likewise",
            value=back / pool_back,
            unit="×",
            detail=f"{back:.2f} s to {pool_back:.2f} s",
        )
    )
    record(
        Figure(
            what=f"memory of {ACCOUNTS} restored accounts, daemon included, likewise",
            value=seen.tower_mb / seen.pool_mb,
            unit="×",
            detail=f"{seen.tower_mb:.0f} MB to {seen.pool_mb:.0f} MB; the pool when it had just paired: "
            f"{seen.paired_pool_mb:.0f} MB",
        )
    )
    assert restart.is_met


@pytest.mark.baileys
@pytest.mark.skipif(
    os.environ.get("TOWER_TEST_BAILEYS") != "1", reason="runs npm's baileys: set TOWER_TEST_BAILEYS=1"
)
def test_thirty_accounts_runs(simulator: Simulator, tmp_path: Path) -> None:
    if why := install():
        pytest.skip(why)
    seen = measure(simulator, tmp_path, accounts=2, turns=1)
    times = (*seen.tower_restarts, *seen.pool_restarts, *seen.tower_returns, *seen.pool_returns)
    assert len(times) == 4
    assert min(*times, seen.tower_mb, seen.pool_mb, seen.paired_pool_mb) > 0

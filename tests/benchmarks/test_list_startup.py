"""`towerctl list` in a pipe, against what Python and click cost before the first line of ours."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.measure import Figure, as_installed, median, pss_bytes, spread
from tests.e2e.tower import BIN, Tower

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOAL_RATIO = 2.0
ACCOUNTS = 100


@dataclass(slots=True)
class Seen:
    """Milliseconds of each command, and the daemon's memory in bytes."""

    listing: list[float] = field(default_factory=list)
    listing_json: list[float] = field(default_factory=list)
    importing: list[float] = field(default_factory=list)
    rpc: list[float] = field(default_factory=list)
    daemon_bytes: int = 0


def milliseconds(command: list[str | Path], environment: dict[str, str], lines: int) -> float:
    """Run a command whose output goes into a pipe; return how long it took."""
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    took = (time.perf_counter() - began) * 1000
    assert len(done.stdout.splitlines()) == lines
    assert done.stderr == b""
    return took


def measure(accounts: int, repetitions: int) -> Seen:
    """Take everything in turns, so that a busy moment of the machine hits all alike."""
    seen = Seen()
    with Tower() as tower:
        for n in range(accounts):
            tower.rpc("account.add", name=f"account-{n:03}", display_name=f"Shop {n}", pair=False)
        environment = as_installed(tower.client_environment)
        listing = [BIN / "towerctl", "list"]
        importing = [sys.executable, "-c", "import click"]
        for repetition in range(-1, repetitions):
            took = milliseconds(importing, environment, 0)
            listed = milliseconds(listing, environment, accounts + 1)
            as_json = milliseconds([*listing, "--json"], environment, 1)
            began = time.perf_counter()
            assert len(tower.rpc("account.list")["accounts"]) == accounts
            answered = (time.perf_counter() - began) * 1000
            if repetition >= 0:  # the first is for bytecode and page cache
                seen.importing.append(took)
                seen.listing.append(listed)
                seen.listing_json.append(as_json)
                seen.rpc.append(answered)
        assert tower.process is not None
        seen.daemon_bytes = pss_bytes(tower.process.pid)
    return seen


@pytest.mark.benchmark
@pytest.mark.timeout(300)
def test_list(record: Callable[[Figure], Figure]) -> None:
    seen = measure(ACCOUNTS, repetitions=31)
    base = median(seen.importing)
    ratio = record(
        Figure(
            what=f"towerctl list, {ACCOUNTS} accounts, to `import click`",
            value=median(seen.listing) / base,
            unit="×",
            goal=GOAL_RATIO,
            detail=f"{median(seen.listing):.1f} ms to {base:.1f} ms; {spread(seen.listing, 'ms')}",
        )
    )
    record(
        Figure(
            what="towerctl list --json, likewise",
            value=median(seen.listing_json) / base,
            unit="×",
            detail=f"{median(seen.listing_json):.1f} ms to {base:.1f} ms",
        )
    )
    record(
        Figure(
            what=f"account.list of {ACCOUNTS} accounts on the socket",
            value=median(seen.rpc),
            unit="ms",
            detail=spread(seen.rpc, "ms"),
        )
    )
    record(
        Figure(
            what=f"towerd's memory with {ACCOUNTS} unlinked accounts",
            value=seen.daemon_bytes / 2**20,
            unit="MB",
            detail="PSS",
        )
    )
    assert ratio.is_met


def test_list_runs() -> None:
    seen = measure(accounts=3, repetitions=1)
    assert all(value > 0 for value in (*seen.listing, *seen.listing_json, *seen.importing, *seen.rpc))
    assert seen.daemon_bytes > 0

"""Memory of a linked account: its worker's, as the kernel shares it out, beside a bare neonize's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.measure import Figure, as_installed, steady_mb
from tests.e2e.tower import Tower, children
from tests.whatsapp.bare import BareClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

GOAL_MB = 28.0
_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Megabytes of proportional set size."""

    accounts: int
    workers: float
    daemon: float
    bare: float
    bare_alone: float

    @property
    def per_account(self) -> float:
        return self.workers / self.accounts


def measure_workers(simulator: Simulator, accounts: int) -> tuple[float, float]:
    """Link accounts; return the memory of all workers and of the daemon."""
    tower = Tower(simulator)
    tower.environment = as_installed(tower.environment)
    with tower:
        phones = {f"account-{n}": f"4917000001{n:02}" for n in range(accounts)}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda item: tower.link(simulator, *item), phones.items()))
        assert tower.process is not None
        assert len(tower.workers()) == accounts
        # The fork server's own share is part of what workers cost.
        carriers = [*children(tower.process.pid), *tower.workers()]
        return steady_mb(carriers), steady_mb([tower.process.pid])


def measure_bare(simulator: Simulator, directory: Path, phones: list[str]) -> float:
    """Link a bare client to each phone; return the memory of all."""
    with ExitStack() as stack:
        running = []
        for phone in phones:
            client = stack.enter_context(BareClient(simulator, directory / phone))
            simulator.scan(client.wait("QR")["qr"], phone)
            client.wait("Connected")
            running.append(client.pid)
        return steady_mb(running)


def measure(simulator: Simulator, directory: Path, accounts: int) -> Seen:
    """Take all in one run, one after the other: what is mapped by both would be shared out between them."""
    workers, daemon = measure_workers(simulator, accounts)
    return Seen(
        accounts=accounts,
        workers=workers,
        daemon=daemon,
        bare=measure_bare(simulator, directory, [f"4917000002{n:02}" for n in range(accounts)]),
        bare_alone=measure_bare(simulator, directory, ["491700000300"]),
    )


@pytest.mark.benchmark
@pytest.mark.timeout(300)
def test_memory_of_a_linked_account(
    simulator: Simulator, tmp_path: Path, record: Callable[[Figure], Figure]
) -> None:
    seen = measure(simulator, tmp_path, accounts=8)
    each = record(
        Figure(
            what="memory per linked account",
            value=seen.per_account,
            unit="MB",
            goal=GOAL_MB,
            detail=f"PSS of {seen.accounts} workers and their fork server / {seen.accounts}",
        )
    )
    record(
        Figure(
            what="that, to bare neonize",
            value=seen.workers / seen.bare,
            unit="×",
            detail=f"{seen.bare / seen.accounts:.1f} MB each among {seen.accounts}, "
            f"{seen.bare_alone:.1f} MB alone",
        )
    )
    record(
        Figure(
            what=f"towerd's memory with {seen.accounts} linked accounts",
            value=seen.daemon,
            unit="MB",
            detail="PSS",
        )
    )
    assert each.is_met


def test_memory_of_a_linked_account_runs(simulator: Simulator, tmp_path: Path) -> None:
    seen = measure(simulator, tmp_path, accounts=1)
    assert min(seen.workers, seen.daemon, seen.bare, seen.bare_alone) > 1

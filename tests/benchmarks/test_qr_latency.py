"""From `add` to the QR as a PNG on disk: what is left beside the worker's start and the library's connect."""

from __future__ import annotations

import base64
import os
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.benchmarks.measure import Figure, as_installed, median, spread
from tests.e2e.tower import Tower
from tests.whatsapp.bare import BareClient

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.whatsapp.simulator import Simulator

GOAL_OWN_SHARE_MS = 100.0
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One account added, in milliseconds.

    Args:
        total: from the request to the file.
        library: from just before the worker's exec to the library's first QR.
    """

    total: float
    library: float

    @property
    def own(self) -> float:
        """What neither the worker's start nor the library's connect took."""
        return self.total - self.library


def seconds_of(rfc3339: str) -> float:
    return datetime.fromisoformat(rfc3339).timestamp()


def sample(tower: Tower, name: str, save: Callable[[str], dict[str, Any]]) -> Sample:
    """Add an account, save its QR, remove it again."""
    began = time.perf_counter()
    qr = save(name)
    total = time.perf_counter() - began
    started_at = tower.account(name)["worker"]["since"]
    tower.rpc("account.remove", account=name)
    library = seconds_of(qr["issued_at"]) - seconds_of(started_at)
    return Sample(total=total * 1000, library=library * 1000)


def save_by_rpc(tower: Tower, png: Path, name: str) -> dict[str, Any]:
    """Two calls on the socket, and the file written as towerctl does: whole, synced, renamed."""
    tower.rpc("account.add", name=name)
    qr: dict[str, Any] = tower.rpc("account.qr", account=name, format="png", wait_seconds=30)["qr"]
    draft = png.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(base64.b64decode(qr["data"]))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(png)
    return qr


def save_by_commands(tower: Tower, png: Path, name: str) -> dict[str, Any]:
    """The two commands that a person types."""
    tower.ctl("add", name)
    tower.ctl("qr", name, "-o", png)
    qr: dict[str, Any] = tower.rpc("account.qr", account=name)["qr"]
    return qr


def bare_milliseconds(simulator: Simulator, store: Path) -> float:
    """Start a bare neonize and return how long its first QR takes."""
    began = time.time()
    with BareClient(simulator, store) as client:
        return float(client.wait("QR")["at"] - began) * 1000


def measure(simulator: Simulator, directory: Path, repetitions: int) -> dict[str, list[Any]]:
    """Take everything in turns, so that a busy moment of the machine hits all alike."""
    png = directory / "qr.png"
    seen: dict[str, list[Any]] = {"rpc": [], "commands": [], "bare": []}
    tower = Tower(simulator)
    tower.environment = as_installed(tower.environment)
    tower.client_environment = as_installed(tower.client_environment)
    with tower:
        # Once for nothing: bytecode and page cache.
        save_by_rpc(tower, png, "warm")
        for n in range(repetitions):
            for how, save in (("rpc", save_by_rpc), ("commands", save_by_commands)):
                seen[how].append(sample(tower, f"{how}-{n}", lambda name, save=save: save(tower, png, name)))
                assert png.read_bytes().startswith(PNG_MAGIC)
                png.unlink()
            store = directory / f"bare-{n}"
            seen["bare"].append(bare_milliseconds(simulator, store))
            shutil.rmtree(store, ignore_errors=True)
    return seen


@pytest.mark.benchmark
@pytest.mark.timeout(300)
def test_add_to_png(simulator: Simulator, tmp_path: Path, record: Callable[[Figure], Figure]) -> None:
    seen = measure(simulator, tmp_path, repetitions=9)
    bare = median(seen["bare"])
    own = [one.own for one in seen["rpc"]]
    typed = [one.own for one in seen["commands"]]
    total = median(one.total for one in seen["rpc"])
    library = median(one.library for one in seen["rpc"])
    share = record(
        Figure(
            what="add → PNG: the daemon's own share",
            value=median(own),
            unit="ms",
            goal=GOAL_OWN_SHARE_MS,
            detail=spread(own, "ms"),
        )
    )
    record(
        Figure(
            what="add → PNG: all of it, to bare neonize",
            value=total / bare,
            unit="×",
            detail=f"{total:.0f} ms to {bare:.0f} ms; exec of the worker → first QR: {library:.0f} ms",
        )
    )
    record(
        Figure(
            what="towerctl add && towerctl qr -o: own share",
            value=median(typed),
            unit="ms",
            detail=f"two starts of Python included; {spread(typed, 'ms')}",
        )
    )
    assert share.is_met


def test_add_to_png_runs(simulator: Simulator, tmp_path: Path) -> None:
    seen = measure(simulator, tmp_path, repetitions=1)
    assert all(0 < one.library <= one.total for one in seen["rpc"] + seen["commands"])
    assert all(value > 0 for value in seen["bare"])

"""Figures and how they are taken: medians, memory from the kernel, goals and verdicts.

The one rule: a figure is a median or a ratio of one and the same run; the machine is never assumed quiet.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.whatsapp.simulator import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


MB = 2**20
_STEADY_READINGS = 20
_STEADY_SPREAD = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Args:
        what: what was measured.
        value: the figure.
        unit: its unit; ratios have the sign of multiplication.
        goal: the most that it should be; None for what is only told.
        detail: how it came about.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    detail: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the goal is met; what has none is."""
        return self.goal is None or self.value <= self.goal

    @property
    def verdict(self) -> str:
        """Return `met`, `missed`, or nothing without a goal."""
        if self.goal is None:
            return ""
        return "met" if self.is_met else "missed"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as aligned text."""
    rows = [("what", "figure", "goal", "verdict", "how")]
    for one in figures:
        goal = f"≤ {one.goal:g} {one.unit}" if one.goal is not None else ""
        rows.append((one.what, f"{one.value:.2f} {one.unit}", goal, one.verdict, one.detail))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]).rstrip()
        for row in rows
    )


def spread(samples: Iterable[float], unit: str) -> str:
    """Return how many samples there were and how far they lie apart."""
    ordered = sorted(samples)
    return f"median of {len(ordered)}, {ordered[0]:.1f} to {ordered[-1]:.1f} {unit}"


def median(samples: Iterable[float]) -> float:
    """Return the median."""
    return float(statistics.median(samples))


def pss_bytes(pid: int) -> int:
    """Return a process's proportional set size: its own pages, and its share of those that others map too.

    Raises:
        OSError: it is gone, or may not be looked at.
        ValueError: the kernel tells no such thing.
    """
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) * 1024
    msg = f"process {pid} has no Pss"
    raise ValueError(msg)


def as_installed(environment: dict[str, str]) -> dict[str, str]:
    """Return an environment in which Python keeps its bytecode, as it does for an installed program."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    return {name: value for name, value in environment.items() if name not in unwanted}


def machine() -> str:
    """Return what the figures were taken on, without naming the machine."""
    system = "Linux"
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("PRETTY_NAME="):
            system = line.partition("=")[2].strip('"')
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{os.cpu_count()} cores, {system}, Python {python}"


def steady_mb(pids: list[int]) -> float:
    """Return the sum of the processes' memory once it has come to rest."""
    readings: deque[int] = deque(maxlen=_STEADY_READINGS)

    def is_at_rest() -> bool:
        readings.append(sum(pss_bytes(pid) for pid in pids))
        least, most = min(readings), max(readings)
        return len(readings) == _STEADY_READINGS and most - least <= _STEADY_SPREAD * most

    wait_for(is_at_rest, seconds=60, what="the memory comes to rest")
    return readings[-1] / MB

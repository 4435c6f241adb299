"""Fixtures: a simulator and a towerd that speaks with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e import bystander
from tests.e2e.tower import Tower
from tests.whatsapp.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator.start(tmp_path / "simulator") as started:
        yield started


@pytest.fixture
def untouched(tower: Tower, simulator: Simulator) -> Iterator[None]:
    """Put an account on another phone beside the fault: it must not notice, and nothing may be left over."""
    with bystander.stays_connected(tower, simulator):
        yield


@pytest.fixture
def touched(tower: Tower, simulator: Simulator) -> Iterator[None]:
    """Put an account beside a fault that touches everybody: it comes back, and nothing may be left over."""
    with bystander.comes_back(tower, simulator):
        yield


@pytest.fixture
def tower(simulator: Simulator) -> Iterator[Tower]:
    with Tower(simulator) as started:
        yield started

"""Fixtures: a simulator per test, bare neonize clients, and ways to link them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.whatsapp.bare import BareClient
from tests.whatsapp.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PHONE = "491701234567"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with Simulator.start(tmp_path / "simulator") as started:
        yield started


@pytest.fixture
def start_client(simulator: Simulator, tmp_path: Path) -> Iterator[Callable[..., BareClient]]:
    """Start a bare neonize; clients that name the same store share it."""
    with ExitStack() as clients:

        def start(store: str = "account") -> BareClient:
            return clients.enter_context(BareClient(simulator, tmp_path / f"{store}.sqlite"))

        yield start


@pytest.fixture
def linked(simulator: Simulator, start_client: Callable[..., BareClient]) -> BareClient:
    """Return a bare neonize that is linked with PHONE and connected."""
    client = start_client()
    simulator.scan(client.wait("QR")["qr"], PHONE)
    client.wait("Connected")
    return client

"""Fixtures: a simulator per test, bare neonize clients, and ways to link them."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.whatsapp.bare import BareClient
from tests.whatsapp.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PHONE = "491701234567"
STORE = "account.sqlite"


@pytest.fixture(scope="session")
def linked_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a simulator's state and the store of a client linked with PHONE."""
    place = tmp_path_factory.mktemp("linked")
    with Simulator.start(place / "simulator") as simulator, BareClient(simulator, place / STORE) as client:
        simulator.scan(client.wait("QR")["qr"], PHONE)
        client.wait("Connected")
    return place


@pytest.fixture
def simulator(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Simulator]:
    if "linked" in request.fixturenames:
        shutil.copytree(request.getfixturevalue("linked_once"), tmp_path, dirs_exist_ok=True)
    with Simulator.start(tmp_path / "simulator") as started:
        yield started


@pytest.fixture
def start_client(simulator: Simulator, tmp_path: Path) -> Iterator[Callable[..., BareClient]]:
    """Start a bare neonize; clients that name the same store share it."""
    with ExitStack() as clients:

        def start(store: str = STORE) -> BareClient:
            return clients.enter_context(BareClient(simulator, tmp_path / store))

        yield start


@pytest.fixture
def linked(simulator: Simulator, start_client: Callable[..., BareClient]) -> BareClient:
    """Return a bare neonize that is linked with PHONE and connected; it was linked once and copied."""
    client = start_client()
    client.wait("Connected")
    return client

"""Fixtures of the session tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sessions.sealed_store import SealedStore
from sessions.store import Store
from tests.unit.sessions.machine import Machine
from tests.unit.sessions.stores import ACCOUNT_ID, make_store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory of stores."""
    directory = tmp_path / "sessions"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, ACCOUNT_ID)


@pytest.fixture
def machine() -> Iterator[Machine]:
    # In memory all of it: nothing here is about a disk, and a writer waits for none.
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/dev/shm") as name:
        yield Machine(Path(name))


@pytest.fixture
def paired(machine: Machine) -> SealedStore:
    """A store whose account has just paired; the worker still runs."""
    store = machine.daemon()
    store.renew()
    make_store(machine.memory)
    store.seal()
    return store

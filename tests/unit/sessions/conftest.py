"""Fixtures of the session tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from sessions.store import Store
from tests.unit.sessions.stores import ACCOUNT_ID


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return an empty directory of stores."""
    directory = tmp_path / "sessions"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def store(root: Path) -> Store:
    return Store(root, ACCOUNT_ID)

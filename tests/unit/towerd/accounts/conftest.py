"""Fixtures of the account database's tests: real files, never a mock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from towerd.accounts.registry import Registry


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Return where the account database lies."""
    return tmp_path / "tower.db"


@pytest.fixture
def registry(database: Path) -> Iterator[Registry]:
    opened = Registry(database)
    opened.open()
    yield opened
    opened.close()

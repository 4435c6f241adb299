"""Fixtures of the daemon's tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """Return a directory whose path is short enough for a socket in it, and which others may enter."""
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory

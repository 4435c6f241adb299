"""Fixtures of the integration tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.towerd import Towerd


@pytest.fixture
def towerd() -> Iterator[Towerd]:
    """Return a daemon's directory; the process is started by the test and ended here."""
    with tempfile.TemporaryDirectory(prefix="tower-", dir="/tmp") as name:
        one = Towerd(Path(name))
        try:
            yield one
        finally:
            one.close()

"""Fixtures of the integration tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.towerd import Towerd, a_towerd


@pytest.fixture
def towerd() -> Iterator[Towerd]:
    """Return a daemon's directory; the process is started by the test and ended here."""
    with a_towerd() as one:
        yield one

"""Fixtures of the supervision's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.towerd.supervision.workers import Workers


@pytest.fixture
def root(short_directory: Path) -> Path:
    """Return the directory of all stores."""
    directory = short_directory / "sessions"
    directory.mkdir(mode=0o700)
    return directory


@pytest.fixture
def workshop(short_directory: Path) -> Callable[[], AbstractAsyncContextManager[Workers]]:
    """Return what opens scripted workers, inside a running loop."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Workers]:
        workers = Workers(short_directory)
        await workers.open()
        try:
            yield workers
        finally:
            await workers.close()

    return opened

"""Fixtures of the supervision's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.unit.towerd.supervision.workers import Workers
from tests.unit.towerd.supervision.world import QUICK, World, a_world
from tests.unit.towerd.waiting import run
from towerd.config import Config


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


@pytest.fixture
def play(short_directory: Path) -> Callable[..., None]:
    """Return what plays a scene in a world of its own."""

    def in_world(act: Callable[[World], Coroutine[Any, Any, None]], settings: Config = QUICK) -> None:
        async def scene() -> None:
            async with a_world(short_directory, settings) as world:
                await act(world)

        run(scene())

    return in_world

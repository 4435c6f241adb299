"""Running coroutines in tests, and waiting for what must come within a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
DEADLINE_SECONDS = 20.0


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end, within the deadline."""

    async def bounded() -> Result:
        async with asyncio.timeout(4 * DEADLINE_SECONDS):
            return await work

    return asyncio.run(bounded())


async def until(
    condition: Callable[[], object], what: str = "the condition", *, seconds: float = DEADLINE_SECONDS
) -> None:
    """Wait until a condition holds; fail when it does not within the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        await asyncio.sleep(0.005)


async def turns(count: int = 50) -> None:
    """Let the event loop turn, for what must not happen to have had its chance."""
    for _ in range(count):
        await asyncio.sleep(0)

"""Work that may block, on a thread of its own.

The one rule: what hangs costs its own thread and nothing else. No pool is shared with the rest of the daemon,
and the end of the process waits for none of these threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def on_own_thread(work: Callable[[], Result], *, name: str) -> Result:
    """Do some work on a new thread and return what it returns, or raise what it raises.

    Whoever is cancelled meanwhile leaves the thread to itself.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as raised:  # noqa: BLE001 - it is raised where the work is waited for
            error = raised
        # The loop may be closed by now: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await outcome

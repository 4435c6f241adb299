"""Commands that go on to their end although the client that gave them has hung up.

The one rule: a command that was begun is finished; half of one (a worker ended, the state not moved yet)
would be worse than none.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

log = logging.getLogger(__name__)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# The loop itself holds tasks weakly.
_under_way: set[asyncio.Task[Any]] = set()


def uninterrupted(
    command: Callable[Arguments, Coroutine[Any, Any, Result]],
) -> Callable[Arguments, Coroutine[Any, Any, Result]]:
    """Let a command run in a task of its own: whoever waits for it may be cancelled, the command is not."""

    @functools.wraps(command)
    async def run(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        task = asyncio.create_task(command(*arguments, **named))
        _under_way.add(task)
        task.add_done_callback(_finished)
        return await asyncio.shield(task)

    return run


def _finished(task: asyncio.Task[Any]) -> None:
    _under_way.discard(task)
    # Looked at here too, for nobody else may be waiting any more.
    if not task.cancelled() and task.exception() is not None:
        log.debug("a command ended with: %s", task.exception())

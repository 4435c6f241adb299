"""A connection whose questions outlive a restart of the daemon.

The one rule: only questions that change nothing are asked again; a daemon that stays away is unreachable, as
it would have been at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from towerctl.connection import Disconnected
from towerctl.exits import Failure

if TYPE_CHECKING:
    from towerctl.app import App
    from towerctl.client import Client

Answer = TypeVar("Answer")

RETURN_SECONDS = 30.0
"""How long a daemon that went away is waited for, unless --timeout is shorter: a restart takes no longer."""
_PAUSE_SECONDS = 0.5


class Steady:
    """Asks, and asks again when the daemon was restarted meanwhile.

    Args:
        app: opens new connections.
        client: the first one.
        lost: called when the daemon has gone.

    Attributes:
        restarts: how often the daemon was away.
    """

    def __init__(self, app: App, client: Client, *, lost: Callable[[], None] = lambda: None) -> None:
        self.restarts = 0
        self._app = app
        self._client = client
        self._lost = lost

    def ask(self, question: Callable[[Client], Answer]) -> Answer:
        """Return the answer to a question.

        Raises:
            Failure: the daemon refuses, is mute, or does not come back in time.
        """
        while True:
            try:
                return question(self._client)
            except Failure as failure:
                if not _is_restart(failure):
                    raise
                self._client.close()
                self._connect_again(failure)

    def _connect_again(self, failure: Failure) -> None:
        patience = min(self._app.timeout_seconds(RETURN_SECONDS) or RETURN_SECONDS, RETURN_SECONDS)
        give_up_at = time.monotonic() + patience
        self._lost()
        self._app.screen.note("towerd closed the connection; waiting for towerd …")
        while time.monotonic() < give_up_at:
            # Also before the first try: a daemon that hangs up each time is not asked in a circle.
            time.sleep(_PAUSE_SECONDS)
            try:
                self._client = self._app.connect()
            except Failure as still_gone:
                failure = still_gone
            else:
                self.restarts += 1
                return
        raise failure


def _is_restart(failure: Failure) -> bool:
    return isinstance(failure, Disconnected) or failure.slug == "shutting-down"

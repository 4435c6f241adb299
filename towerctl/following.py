"""Events as they happen, over restarts of the daemon.

The one rule: after an interruption it goes on behind the last event that was handed out, so nothing is missed
and nothing comes twice.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

from towerctl.connection import Disconnected
from towerctl.exits import Failure
from towerctl.text import format_time, now

if TYPE_CHECKING:
    from towerctl import results
    from towerctl.app import App
    from towerctl.client import Client

RECONNECT_SECONDS = 1.0
GONE = frozenset({"unreachable", "shutting-down"})
"""What a daemon that restarts answers, if anything."""


class Following:
    """A subscription that outlives the connection it was made on.

    Args:
        app: opens new connections.
        client: the first one.
        account: only events of this account.
        types: only events of these types.
        since: an id or a time to begin behind; None begins now.

    It ends when --timeout is over, if one was given.
    """

    def __init__(
        self,
        app: App,
        client: Client,
        *,
        account: str | None = None,
        types: Sequence[str] = (),
        since: int | str | None = None,
    ) -> None:
        self._app = app
        self._client = client
        self._account = account
        self._types = types
        self._since = since
        # Where a new connection goes on; this machine's clock is the daemon's.
        self._resume: int | str = since if since is not None else format_time(now())
        self._end_at = app.end_at()

    def subscribe(self) -> None:
        """Begin.

        Raises:
            Failure: the daemon refuses.
        """
        self._client.event_subscribe(account=self._account, types=self._types, since=self._since)

    def events(self) -> Generator[results.Event]:
        """Yield events, for ever or until it is time to end."""
        while not self._is_over():
            try:
                for method, params in self._client.notifications(end_at=self._end_at):
                    if method == "event":
                        event: results.Event = params["event"]
                        self._resume = event["id"]
                        yield event
                    elif method == "event.ended":
                        # We read too slowly and were cut off; what was missed is still kept.
                        self._subscribe_anew()
            except Disconnected:
                self._client.close()
                self._app.screen.note("towerd closed the connection; waiting for towerd …")
                if self._connect_again():
                    self._app.screen.note("connected again")

    def _subscribe_anew(self) -> None:
        self._client.event_subscribe(account=self._account, types=self._types, since=self._resume)

    def _connect_again(self) -> bool:
        """Try until the daemon is there; tell whether it is, and not the time over."""
        while not self._is_over():
            try:
                self._client = self._app.connect()
                self._subscribe_anew()
            except Failure as failure:
                if failure.slug not in GONE:
                    raise
                time.sleep(RECONNECT_SECONDS)
            else:
                return True
        return False

    def _is_over(self) -> bool:
        return self._end_at is not None and time.monotonic() >= self._end_at

"""The loop behind `watch` on a terminal: asks the daemon when there is news, draws when the clock moves.

The one rule: it never blocks on the daemon, so that the person is served whatever the daemon does; and it
asks at an event, or every few seconds, never more often.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from select import select
from typing import TYPE_CHECKING, Any

from towerctl.connection import Disconnected
from towerctl.dashboard import WATCHED_TYPES, Glance, picture
from towerctl.exits import Failure
from towerctl.following import GONE, RECONNECT_SECONDS
from towerctl.terminal import Terminal
from towerctl.text import duration, now

if TYPE_CHECKING:
    from towerctl.app import App
    from towerctl.client import Client
    from towerctl.output import Line, Table

_TICK_SECONDS = 1.0
# Several events in a moment are one question.
_GATHER_SECONDS = 0.5
_MUTE_SECONDS = 3.0
_CONNECT_SECONDS = 2.0


class Watch:
    """What is known, and what is asked.

    Args:
        app: opens connections.
        client: the first one.
        states: only accounts in these; all when there are none.
        interval_seconds: how often to ask for what no event tells.
    """

    def __init__(self, app: App, client: Client, *, states: Sequence[str], interval_seconds: float) -> None:
        self._app = app
        self._client: Client | None = client
        self._states = states
        self._interval_seconds = interval_seconds
        client.event_subscribe(types=WATCHED_TYPES)
        accounts = client.account_list(states=states)["accounts"]
        self._glance = Glance(accounts, client.daemon_status(), at_seconds=time.monotonic())
        self._pending: dict[str, int] = {}
        self._came: dict[str, Any] = {}
        self._asked_at = self._glance.at_seconds
        self._lost_at = self._retry_at = 0.0
        self._has_news = False
        self._end_at = app.end_at()

    def run(self, terminal: Terminal) -> None:
        """Draw until the person ends it, or --timeout does."""
        due_at = 0.0
        shown: object = None
        while "q" not in terminal.keys().lower() and not self._is_over():
            size = self._app.screen.size()
            state = (self._glance, self._client, size)
            if state != shown or time.monotonic() >= due_at:
                terminal.draw(self._picture(size[1]), size)
                shown, due_at = state, time.monotonic() + _TICK_SECONDS
                due_at = due_at if self._end_at is None else min(due_at, self._end_at)
            self._step(due_at, terminal.wake)

    def _is_over(self) -> bool:
        return self._end_at is not None and time.monotonic() >= self._end_at

    def _step(self, due_at: float, wake: Sequence[int]) -> None:
        client = self._client
        if client is None:
            self._connect_again(due_at, wake)
            return
        try:
            self._ask(client)
            for notification in client.listen(self._patience(due_at), wake=wake):
                self._heed(client, str(notification["method"]))
            self._collect(client)
        except Failure as failure:
            if not isinstance(failure, Disconnected) and failure.slug not in GONE:
                raise
            client.close()
            self._client, self._lost_at, self._pending = None, time.monotonic(), {}

    def _heed(self, client: Client, method: str) -> None:
        if method == "event":
            self._has_news = True
        elif method == "event.ended":
            # We read too slowly and were cut off.
            self._has_news = True
            self._pending["event.subscribe"] = client.begin("event.subscribe", {"types": WATCHED_TYPES})

    def _ask(self, client: Client) -> None:
        if self._pending or time.monotonic() < self._ask_at():
            return
        self._has_news = False
        self._asked_at = time.monotonic()
        wanted = {"state": list(self._states)} if self._states else {}
        self._pending["account.list"] = client.begin("account.list", wanted)
        self._pending["daemon.status"] = client.begin("daemon.status")

    def _ask_at(self) -> float:
        return self._asked_at + (_GATHER_SECONDS if self._has_news else self._interval_seconds)

    def _patience(self, due_at: float) -> float:
        until = due_at if self._pending else min(due_at, self._ask_at())
        return max(0.0, until - time.monotonic())

    def _collect(self, client: Client) -> None:
        for method, number in list(self._pending.items()):
            result = client.take(number)
            if result is not None:
                del self._pending[method]
                self._came[method] = result
        if self._came.keys() >= {"account.list", "daemon.status"}:
            accounts, status = self._came["account.list"]["accounts"], self._came["daemon.status"]
            self._glance = Glance(accounts, status, at_seconds=time.monotonic())
            self._came.clear()

    def _connect_again(self, due_at: float, wake: Sequence[int]) -> None:
        select(wake, [], [], min(RECONNECT_SECONDS, max(0.0, due_at - time.monotonic())))
        if time.monotonic() < self._retry_at:
            return
        self._retry_at = time.monotonic() + RECONNECT_SECONDS
        try:
            client = self._app.connect(default_timeout_seconds=_CONNECT_SECONDS)
        except Failure as failure:
            if failure.slug not in GONE:
                raise
            return
        self._client = client
        self._came.clear()
        # Before the question, so that nothing falls between its answer and the first event.
        self._pending = {"event.subscribe": client.begin("event.subscribe", {"types": WATCHED_TYPES})}
        self._has_news = True

    def _picture(self, rows: int) -> list[Line | Table]:
        at_seconds = time.monotonic()
        return picture(
            self._glance,
            at=now(),
            since_seconds=at_seconds - self._glance.at_seconds,
            rows=rows,
            trouble=self._trouble(at_seconds),
        )

    def _trouble(self, at_seconds: float) -> str | None:
        if self._client is None:
            return f"waiting for towerd … {duration(at_seconds - self._lost_at)}"
        if self._pending and at_seconds - self._asked_at >= _MUTE_SECONDS:
            return f"towerd has not answered for {duration(at_seconds - self._asked_at)}"
        return None

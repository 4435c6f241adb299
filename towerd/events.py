"""The event stream: what is durable goes to everybody who listens, in the order of its ids.

The one rule: a listener that cannot keep up is cut off, never served with a gap.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence

from towerd.accounts.records import EventRecord
from towerd.clock import rfc3339
from towerd.protocol.types import AccountRef, Event

_QUEUE_EVENTS = 10_000


class SlowListenerError(Exception):
    """The listener fell too far behind and was cut off."""


class Listener:
    """One listener's queue of events."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[EventRecord | None] = asyncio.Queue(_QUEUE_EVENTS)
        self.is_cut_off = False

    async def next(self) -> EventRecord:
        """Return the next event.

        Raises:
            SlowListenerError: events were missed.
        """
        event = None if self.is_cut_off and self._queue.empty() else await self._queue.get()
        if event is None:
            raise SlowListenerError
        return event

    def offer(self, event: EventRecord) -> None:
        """Queue an event, or cut the listener off when its queue is full."""
        if self.is_cut_off:
            return
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.is_cut_off = True


class EventStream:
    """Hands durable events to listeners."""

    def __init__(self) -> None:
        # Weak: a listener whose reader was cancelled before it began is nobody's any more.
        self._takers: list[Callable[[Sequence[EventRecord]], None]] = []
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()

    def listen(self) -> Listener:
        """Return a new listener that gets every event from now on."""
        listener = Listener()
        self._listeners.add(listener)
        return listener

    def ignore(self, listener: Listener) -> None:
        """End a listener."""
        self._listeners.discard(listener)

    def tap(self, taker: Callable[[Sequence[EventRecord]], None]) -> None:
        """Hand events to a function as well, for as long as the daemon runs; it must not fail, nor wait."""
        self._takers.append(taker)

    def publish(self, events: Sequence[EventRecord]) -> None:
        """Hand events to every listener."""
        for taker in self._takers:
            taker(events)
        for event in events:
            for listener in self._listeners:
                listener.offer(event)


def event_to_wire(record: EventRecord) -> Event:
    """Shape an event for clients."""
    account = None
    if record.account_id is not None:
        account = AccountRef(id=record.account_id, name=record.account_name or "")
    return Event(id=record.id, time=rfc3339(record.time), type=record.type, account=account, data=record.data)

"""The event stream: everything in order, or cut off; never a gap."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.towerd.builders import an_event_record
from tests.unit.towerd.waiting import run, turns
from towerd import events
from towerd.events import EventStream, Listener, SlowListenerError, event_to_wire


async def drain(listener: Listener) -> list[int]:
    seen: list[int] = []
    try:
        while True:
            async with asyncio.timeout(0.5):
                seen.append((await listener.next()).id)
    except (SlowListenerError, TimeoutError):
        return seen


def test_every_listener_gets_every_event_in_order() -> None:
    async def scene() -> None:
        stream = EventStream()
        listeners = [stream.listen(), stream.listen()]
        stream.publish([an_event_record(1), an_event_record(2)])
        stream.publish([an_event_record(3)])
        for listener in listeners:
            assert [(await listener.next()).id for _ in range(3)] == [1, 2, 3]

    run(scene())


def test_listener_hears_nothing_from_before() -> None:
    async def scene() -> None:
        stream = EventStream()
        stream.publish([an_event_record(1)])
        listener = stream.listen()
        stream.publish([an_event_record(2)])
        assert (await listener.next()).id == 2

    run(scene())


def test_listener_that_waits_is_woken() -> None:
    async def scene() -> None:
        stream = EventStream()
        listener = stream.listen()
        waiting = asyncio.create_task(listener.next())
        await turns()
        assert not waiting.done()
        stream.publish([an_event_record(1)])
        assert (await waiting).id == 1

    run(scene())


def test_ignored_listener_gets_nothing_more() -> None:
    async def scene() -> None:
        stream = EventStream()
        listener = stream.listen()
        stream.publish([an_event_record(1)])
        stream.ignore(listener)
        stream.ignore(listener)
        stream.publish([an_event_record(2)])
        assert await drain(listener) == [1]

    run(scene())


def test_slow_listener_is_cut_off_without_a_gap_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_QUEUE_EVENTS", 5)

    async def scene() -> None:
        stream = EventStream()
        slow, quick = stream.listen(), stream.listen()
        heard = []
        for number in range(1, 11):
            stream.publish([an_event_record(number)])
            heard.append((await quick.next()).id)
        assert heard == list(range(1, 11))
        assert slow.is_cut_off
        # It makes room again, too late: what follows must not look as if nothing had been missed.
        assert [(await slow.next()).id for _ in range(2)] == [1, 2]
        stream.publish([an_event_record(11)])
        assert [(await slow.next()).id for _ in range(3)] == [3, 4, 5]
        for _ in range(2):
            with pytest.raises(SlowListenerError):
                await slow.next()

    run(scene())


def test_event_for_clients_names_its_account() -> None:
    wire = event_to_wire(an_event_record(7))
    assert (wire.id, wire.type, wire.time) == (7, "session.state", "2026-09-21T14:13:27.000Z")
    assert wire.account is not None
    assert (wire.account.id, wire.account.name) == ("a-abcdefghij", "alpha")
    assert wire.data == {"number": 7}


def test_event_of_the_daemon_names_no_account() -> None:
    assert event_to_wire(an_event_record(account_id=None, account_name=None)).account is None

"""The methods `event.*`."""

from __future__ import annotations

import itertools

from towerd.accounts.records import EventQuery, EventRecord
from towerd.clock import parse_rfc3339, rfc3339
from towerd.events import Listener, SlowListenerError, event_to_wire
from towerd.protocol import methods as m
from towerd.protocol.errors import Field, TowerError
from towerd.protocol.parameters import MAX_ROW_ID
from towerd.protocol.types import Event, Wire
from towerd.rpc.call import Call
from towerd.supervision.supervisor import invalid

_PAGE = 1000
_MAX_SUBSCRIPTIONS = 64
"""On one connection: each is sent every event, and keeps what is unread in the daemon's memory."""
_ids = itertools.count(1)


class EventNotification(Wire, frozen=True, kw_only=True):
    """What a subscriber is sent."""

    subscription: str
    event: Event


async def list_events(call: Call, params: m.ListEvents) -> m.EventsResult:
    """List past events, oldest first."""
    query = await _query(call, params.account, params.types, params.since)
    until_id, until_time = moment("until", params.until)
    query = EventQuery(
        after_id=query.after_id,
        from_time=query.from_time,
        until_id=until_id,
        until_time=until_time,
        account_id=query.account_id,
        owners=query.owners,
        types=query.types,
        limit=params.limit,
    )
    records = await call.services.ledger.read(lambda registry: registry.events(query))
    return m.EventsResult(events=[event_to_wire(one) for one in records])


async def subscribe(call: Call, params: m.Subscribe) -> m.SubscribeResult:
    """Send events as they happen, beginning with those since a given one."""
    query = await _query(call, params.account, params.types, params.since)
    if len(call.subscriptions) >= _MAX_SUBSCRIPTIONS:
        raise TowerError(
            "too-busy",
            f"this connection has {_MAX_SUBSCRIPTIONS} subscriptions",
            hint="end one with event.unsubscribe, or leave out types and account and look at each event",
        )
    # Listening before reading the past: what happens in between is in both, and sent once.
    listener = call.services.events.listen()
    subscription = f"s{next(_ids)}"
    wants_past = params.since is not None
    call.subscriptions[subscription] = call.run(_send(call, subscription, listener, query, wants_past))
    return m.SubscribeResult(subscription=subscription)


async def unsubscribe(call: Call, params: m.Unsubscribe) -> m.Empty:
    """End a subscription."""
    end = call.subscriptions.pop(params.subscription, None)
    if end is None:
        raise invalid([Field(field="subscription", why="no such subscription on this connection")])
    end()
    return m.Empty()


async def _send(
    call: Call,
    subscription: str,
    listener: Listener,
    query: EventQuery,
    wants_past: bool,  # noqa: FBT001
) -> None:
    sent = 0
    try:
        if wants_past:
            sent = await _send_past(call, subscription, query)
        while True:
            event = await listener.next()
            if event.id > sent and _fits(event, query) and call.caller.may("read", event.owner_uid):
                await _notify(call, subscription, event)
    except SlowListenerError:
        await call.notify("event.ended", m.SubscribeResult(subscription=subscription))
    finally:
        call.services.events.ignore(listener)
        call.subscriptions.pop(subscription, None)


async def _send_past(call: Call, subscription: str, query: EventQuery) -> int:
    """Send what lies in the past page by page; return the id of the last event looked at."""
    _, newest = await call.services.ledger.read(lambda registry: registry.event_bounds())
    after = query.after_id
    while True:
        page = EventQuery(
            after_id=after,
            from_time=query.from_time,
            until_id=newest,
            account_id=query.account_id,
            owners=query.owners,
            types=query.types,
            limit=_PAGE,
        )
        records = await call.services.ledger.read(lambda registry, page=page: registry.events(page))  # type: ignore[misc]
        for record in records:
            await _notify(call, subscription, record)
        if len(records) < _PAGE:
            return newest
        after = records[-1].id


async def _notify(call: Call, subscription: str, event: EventRecord) -> None:
    await call.notify("event", EventNotification(subscription=subscription, event=event_to_wire(event)))


def _fits(event: EventRecord, query: EventQuery) -> bool:
    if query.account_id is not None and event.account_id != query.account_id:
        return False
    return not query.types or event.type in query.types


async def _query(
    call: Call, account: str | None, types: list[str] | None, since: int | str | None
) -> EventQuery:
    account_id = None
    if account is not None:
        account_id = call.find(account).account.record.id
    after_id, from_time = moment("since", since)
    if after_id is not None:
        await _require_kept(call, after_id)
    elif from_time is not None:
        await _require_kept_since(call, from_time)
    return EventQuery(
        after_id=after_id,
        from_time=from_time,
        account_id=account_id,
        owners=call.caller.reach("read"),
        types=tuple(types or ()),
    )


async def _require_kept(call: Call, after_id: int) -> None:
    before_oldest, _ = await call.services.ledger.read(lambda registry: registry.event_bounds())
    if after_id < before_oldest:
        raise TowerError(
            "events-expired",
            f"events after {after_id} are no longer all kept; the oldest kept is {before_oldest + 1}",
            hint=f"go on from there: --since {before_oldest}",
        )


async def _require_kept_since(call: Call, from_time: float) -> None:
    before_oldest, _ = await call.services.ledger.read(lambda registry: registry.event_bounds())
    oldest = await call.services.ledger.read(lambda registry: registry.events(EventQuery(limit=1)))
    # The first events of all have nothing before them.
    if before_oldest > 0 and oldest and from_time < oldest[0].time:
        raise TowerError(
            "events-expired",
            f"events since then are no longer all kept; the oldest kept is of {rfc3339(oldest[0].time)}",
            hint=f"go on from there: --since {before_oldest}",
        )


def moment(field: str, value: int | str | None) -> tuple[int | None, float | None]:
    """Read the id of a row or a time: return the id or the seconds since the epoch.

    Raises:
        TowerError: `invalid-field`.
    """
    if value is None:
        return None, None
    if isinstance(value, int) or (value.isascii() and value.isdigit()):
        if int(value) > MAX_ROW_ID:
            raise invalid([Field(field=field, why=f"must be at most {MAX_ROW_ID}")])
        return int(value), None
    try:
        return None, parse_rfc3339(value)
    except ValueError:
        raise invalid([Field(field=field, why="must be an id or an RFC 3339 time")]) from None

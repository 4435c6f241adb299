"""How a kept account looks to clients.

The one rule: nothing secret is in it; a QR is announced by its number and expiry, never by its payload.
"""

from __future__ import annotations

import msgspec

from towerd.accounts.records import AccountRecord
from towerd.clock import Clock, rfc3339, rfc3339_or_none, wall_time
from towerd.protocol import types as wire
from towerd.supervision.declared import file_of
from towerd.supervision.health import health
from towerd.supervision.keeper import Keeper
from towerd.supervision.names import international
from towerd.supervision.pairing import CODES_PER_ROUND
from towerd.users import user_name


def account_to_wire(keeper: Keeper, clock: Clock, *, address: str, with_worker: bool = False) -> wire.Account:
    """Shape one account for a client, who names it by this address."""
    record = keeper.account.record
    level, reasons = health(keeper.condition)
    return wire.Account(
        id=record.id,
        name=record.name,
        display_name=record.display_name,
        owner=user_name(record.owner_uid),
        owner_uid=record.owner_uid,
        primary=record.is_primary,
        state=record.state,
        reason=record.reason,
        detail=record.detail,
        action=keeper.action(address),
        since=rfc3339(record.since),
        desired=record.desired,
        health=level,
        health_reasons=reasons,
        jid=record.jid,
        lid=record.lid,
        phone=record.phone,
        expected_phone=international(record.expected_phone),
        device_number=record.device_number,
        push_name=record.push_name,
        business_name=record.business_name,
        platform=record.platform,
        pairing=pairing_to_wire(keeper, clock),
        reconnect=reconnect_to_wire(keeper),
        declaration=declaration_to_wire(record),
        limits=wire.Limits(daily=record.daily_limit, per_minute=record.per_minute_limit),
        proxy_file=record.proxy_file,
        worker=worker_to_wire(keeper) if with_worker else msgspec.UNSET,
        sent_today=keeper.tally.sent,
        received_today=keeper.tally.received,
        daily_limit=keeper.tally.daily_limit,
        waiting=keeper.waiting,
        created_at=rfc3339(record.created_at),
        updated_at=rfc3339(record.updated_at),
        last_connected_at=rfc3339_or_none(record.last_connected_at),
        last_disconnected_at=rfc3339_or_none(record.last_disconnected_at),
        last_seen_at=rfc3339_or_none(record.last_seen_at),
        last_activity_at=rfc3339_or_none(record.last_activity_at),
    )


def declaration_to_wire(record: AccountRecord) -> wire.Declaration | None:
    """Shape what a drop-in file has to say, None when the account is kept by hand."""
    file = file_of(record)
    if file is None:
        return None
    return wire.Declaration(file=file, desired=record.declared_desired, is_gone=record.is_declaration_gone)


def pairing_to_wire(keeper: Keeper, clock: Clock) -> wire.Pairing | None:
    """Shape the pairing attempt, None when there is none."""
    attempt = keeper.account.attempt
    if attempt is None:
        return None
    now = clock.monotonic()
    offer = attempt.current(now) or attempt.current_code(now)
    is_code = attempt.phone is not None
    return wire.Pairing(
        method="code" if is_code else "qr",
        round=attempt.round,
        number=0 if offer is None or is_code else attempt.number,
        count=CODES_PER_ROUND,
        issued_at=wall_time(offer.issued_at, clock) if offer else None,
        expires_at=wall_time(offer.expires_at, clock) if offer else None,
        expires_in_seconds=round(offer.expires_at - now, 3) if offer else None,
        deadline_at=rfc3339(attempt.deadline_at),
    )


def reconnect_to_wire(keeper: Keeper) -> wire.Reconnect | None:
    """Shape the reconnect schedule, None while there is nothing to reconnect."""
    retry = keeper.account.retry
    if retry is None:
        return None
    return wire.Reconnect(attempt=retry.attempt, next_attempt_at=rfc3339_or_none(retry.next_attempt_at))


def worker_to_wire(keeper: Keeper) -> wire.Worker | None:
    """Shape the worker process, None when there is none."""
    carrier = keeper.carrier
    if carrier.worker is None:
        return None
    return wire.Worker(
        state=carrier.worker.state.value,
        pid=carrier.worker.pid,
        restarts=carrier.starts - 1,
        memory_bytes=carrier.worker.memory_bytes(),
        since=rfc3339(carrier.since),
    )

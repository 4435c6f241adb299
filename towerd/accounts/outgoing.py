"""The queries about texts to be sent; they run inside the registry's transactions.

The one rule: what is under way or waiting is never deleted; of what is settled the newest are kept.
"""

from __future__ import annotations

from typing import Any

import msgspec

from towerd.accounts.models import Outgoing
from towerd.accounts.records import OutgoingRecord

_OPEN = ("queued", "sending")


def by_key(account_id: str, key: str) -> OutgoingRecord | None:
    """Return the text that a key names."""
    rows: Any = Outgoing.select().where((Outgoing.account_id == account_id) & (Outgoing.key == key)).dicts()
    return next((OutgoingRecord(**row) for row in rows), None)


def by_id(account_id: str, row_id: int) -> OutgoingRecord | None:
    """Return a text by its id."""
    rows: Any = Outgoing.select().where((Outgoing.account_id == account_id) & (Outgoing.id == row_id)).dicts()
    return next((OutgoingRecord(**row) for row in rows), None)


def insert(record: OutgoingRecord) -> OutgoingRecord:
    """Add a text; return it with its id."""
    row = msgspec.structs.asdict(record)
    del row["id"]
    return msgspec.structs.replace(record, id=Outgoing.insert(**row).execute())


def update(record: OutgoingRecord) -> None:
    """Write what has become of a text."""
    row = msgspec.structs.asdict(record)
    Outgoing.update(**row).where(Outgoing.id == record.id).execute()


def unsettled(account_id: str) -> list[OutgoingRecord]:
    """Return the texts that wait or are under way, in their order."""
    rows: Any = (
        Outgoing.select()
        .where((Outgoing.account_id == account_id) & Outgoing.state.in_(_OPEN))
        .order_by(Outgoing.id)
        .dicts()
    )
    return [OutgoingRecord(**row) for row in rows]


def last(account_id: str, limit: int) -> list[OutgoingRecord]:
    """Return an account's last texts, oldest first."""
    rows: Any = (
        Outgoing.select()
        .where(Outgoing.account_id == account_id)
        .order_by(Outgoing.id.desc())
        .limit(limit)
        .dicts()
    )
    return [OutgoingRecord(**row) for row in rows][::-1]


def sent_since(account_id: str, moment: float) -> list[float]:
    """Return when an account's texts were sent after a moment, the earliest first."""
    rows: Any = (
        Outgoing.select(Outgoing.settled_at)
        .where(
            (Outgoing.account_id == account_id) & (Outgoing.state == "sent") & (Outgoing.settled_at > moment)
        )
        .order_by(Outgoing.settled_at)
        .dicts()
    )
    return [row["settled_at"] for row in rows]


def prune(account_id: str, *, kept: int, before: float) -> None:
    """Delete an account's settled texts beyond a number, and those from before a time."""
    newest_to_go = (
        Outgoing.select(Outgoing.id)
        .where(Outgoing.account_id == account_id)
        .order_by(Outgoing.id.desc())
        .offset(kept)
        .limit(1)
    )
    Outgoing.delete().where(
        (Outgoing.account_id == account_id)
        & Outgoing.state.not_in(_OPEN)
        & ((Outgoing.id <= newest_to_go) | (Outgoing.created_at < before))
    ).execute()


def delete(account_id: str) -> None:
    """Delete everything of an account."""
    Outgoing.delete().where(Outgoing.account_id == account_id).execute()

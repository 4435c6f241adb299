"""The queries about messages and groups; they run inside the registry's transactions.

The one rule: a message is kept once, whatever comes twice: account, chat and WhatsApp's id name it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import msgspec

from sessions.messages import Group, Member
from towerd.accounts.models import ChatGroup, Message, Traffic
from towerd.accounts.records import GroupRecord, MessageQuery, MessageRecord, TrafficRecord

_encoder = msgspec.json.Encoder()
_members = msgspec.json.Decoder(list[Member])


def insert(records: Iterable[MessageRecord]) -> list[MessageRecord]:
    """Add messages; return those that were not there yet, with their row ids."""
    added = []
    for record in records:
        known = Message.select(Message.id).where(
            (Message.account_id == record.account_id)
            & (Message.chat == record.chat)
            & (Message.message_id == record.message_id)
        )
        if known.exists():
            continue
        row = msgspec.structs.asdict(record)
        del row["id"]
        added.append(msgspec.structs.replace(record, id=Message.insert(**row).execute()))
    return added


def count(account_id: str, day: str, *, received: int = 0, sent: int = 0) -> None:
    """Add to what an account has received and sent on a day."""
    Traffic.insert(account_id=account_id, day=day, received=received, sent=sent).on_conflict(
        conflict_target=[Traffic.account_id, Traffic.day],
        update={Traffic.received: Traffic.received + received, Traffic.sent: Traffic.sent + sent},
    ).execute()


def traffic(account_id: str, day: str) -> TrafficRecord:
    """Return what an account has received and sent on a day."""
    rows: Any = Traffic.select().where((Traffic.account_id == account_id) & (Traffic.day == day)).dicts()
    found = next((TrafficRecord(**row) for row in rows), None)
    return found or TrafficRecord(account_id=account_id, day=day, received=0, sent=0)


def select(query: MessageQuery) -> list[MessageRecord]:
    """Return the last messages that fit, oldest first; with `after_id` the first ones behind it."""
    rows: Any = Message.select().where(Message.account_id == query.account_id)
    for bound, column, compare in (
        (query.after_id, Message.id, operator.gt),
        (query.from_time, Message.received_at, operator.ge),
        (query.chat, Message.chat, operator.eq),
    ):
        if bound is not None:
            rows = rows.where(compare(column, bound))
    if query.after_id is not None:
        return [MessageRecord(**row) for row in rows.order_by(Message.id).limit(query.limit).dicts()]
    found = [MessageRecord(**row) for row in rows.order_by(Message.id.desc()).limit(query.limit).dicts()]
    return found[::-1]


def prune(account_id: str, *, kept: int, before: float) -> None:
    """Delete an account's messages beyond a number, and those that came before a time."""
    newest_to_go = (
        Message.select(Message.id)
        .where(Message.account_id == account_id)
        .order_by(Message.id.desc())
        .offset(kept)
        .limit(1)
    )
    Message.delete().where(
        (Message.account_id == account_id) & ((Message.id <= newest_to_go) | (Message.received_at < before))
    ).execute()


def replace_groups(account_id: str, groups: Iterable[Group], synced_at: float) -> None:
    """Put another list of groups in the place of an account's last one."""
    ChatGroup.delete().where(ChatGroup.account_id == account_id).execute()
    for group in groups:
        row = {
            "account_id": account_id,
            "jid": group.jid,
            "name": group.name,
            "members": _encoder.encode(group.members).decode(),
            "synced_at": synced_at,
        }
        ChatGroup.insert(**row).on_conflict_replace().execute()


def groups(account_id: str) -> list[GroupRecord]:
    """Return an account's groups by name."""
    rows: Any = (
        ChatGroup.select()
        .where(ChatGroup.account_id == account_id)
        .order_by(ChatGroup.name, ChatGroup.jid)
        .dicts()
    )
    return [
        GroupRecord(
            account_id=account_id,
            group=Group(jid=row["jid"], name=row["name"], members=_members.decode(row["members"])),
            synced_at=row["synced_at"],
        )
        for row in rows
    ]


def delete(account_id: str) -> None:
    """Delete everything of an account."""
    Message.delete().where(Message.account_id == account_id).execute()
    Traffic.delete().where(Traffic.account_id == account_id).execute()
    ChatGroup.delete().where(ChatGroup.account_id == account_id).execute()

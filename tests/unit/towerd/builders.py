"""Builders of records, and clocks that stand still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from sessions.states import State
from towerd.accounts.records import AccountRecord, Batch, EventDraft, EventRecord, TransitionRecord
from towerd.config import Config
from towerd.config_files import Reading
from towerd.settings import Settings

ACCOUNT_ID = "a-abcdefghij"
JID = "491701234567@s.whatsapp.net"
NOW = 1_790_000_000.0

_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def account_id(number: int) -> str:
    """Return the number-th valid id."""
    return "a-" + "".join(_LETTERS[number // 26**place % 26] for place in reversed(range(10)))


def an_account(**fields: Any) -> AccountRecord:
    """Return an account that was just added."""
    defaults: dict[str, Any] = {
        "id": ACCOUNT_ID,
        "owner_uid": 1000,
        "created_at": NOW,
        "name": "alpha",
        "reason": "never-paired",
        "since": NOW,
        "updated_at": NOW,
    }
    return AccountRecord(**(defaults | fields))


def a_linked_account(**fields: Any) -> AccountRecord:
    """Return an account that is linked with the device of `stores.make_store`."""
    defaults: dict[str, Any] = {
        "state": State.CONNECTED,
        "reason": None,
        "is_linked": True,
        "is_confirmed": True,
        "jid": JID,
        "device_number": 12,
        "lid": "123456789012345@lid",
        "push_name": "Alice",
        "platform": "android",
    }
    return an_account(**(defaults | fields))


def an_event(number: int = 1, **fields: Any) -> EventDraft:
    """Return an event of the account."""
    defaults: dict[str, Any] = {
        "time": NOW + number,
        "type": "session.state",
        "account_id": ACCOUNT_ID,
        "account_name": "alpha",
        "owner_uid": 1000,
        "data": {"number": number},
    }
    return EventDraft(**(defaults | fields))


def an_event_record(number: int = 1, **fields: Any) -> EventRecord:
    """Return an event as kept."""
    draft = an_event(number)
    return EventRecord(
        **(
            {
                "id": number,
                "time": draft.time,
                "type": draft.type,
                "account_id": draft.account_id,
                "account_name": draft.account_name,
                "owner_uid": draft.owner_uid,
                "data": draft.data,
            }
            | fields
        )
    )


def a_transition(number: int = 1, **fields: Any) -> TransitionRecord:
    """Return a change of state."""
    defaults: dict[str, Any] = {
        "account_id": ACCOUNT_ID,
        "time": NOW + number,
        "old": State.UNPAIRED,
        "new": State.PAIRING,
        "reason": f"reason-{number}",
    }
    return TransitionRecord(**(defaults | fields))


def a_batch(*events: EventDraft) -> Batch:
    """Return a batch of events alone."""
    return Batch(accounts=[], transitions=[], events=list(events))


def settings_of(config: Config | None = None, **sections: Any) -> Settings:
    """Return settings that run a configuration; sections may be given one by one."""
    config = msgspec.structs.replace(config or Config(), **sections)
    return Settings(Reading(config=config, sources={}))


@dataclass
class FakeClock:
    """A clock that goes on when it is told to."""

    time: float = NOW

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self.time

    def monotonic(self) -> float:
        """Return seconds on a clock that never steps."""
        return self.time

"""The plain values that the registry takes and returns; models never leave it.

The one rule: a record is frozen. Columns are either intent (what an operator asked for, written before it is
acknowledged) or actual (what happened, written behind); the two sets never overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from sessions.messages import Group
from sessions.states import State


class AccountRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One account. Times are seconds since the epoch."""

    id: str
    owner_uid: int
    created_at: float

    # Intent.
    name: str
    display_name: str | None = None
    desired: Literal["running", "stopped"] = "running"
    expected_phone: str | None = None
    intent: Literal["logout", "unpair", "remove"] | None = None
    proxy_file: str | None = None
    daily_limit: int | None = None
    per_minute_limit: int | None = None
    declared_in: str | None = None
    is_declaration_gone: bool = False
    # What the file wanted when it was last taken over; None: whatever it says next is news.
    declared_desired: Literal["running", "stopped"] | None = None

    # Actual.
    state: State = State.UNPAIRED
    reason: str | None = None
    detail: str | None = None
    # Why no device is linked: it outlives a stop, a pairing that came to nothing, and a restart.
    cause: str | None = None
    banned_until: float | None = None
    since: float = 0.0
    is_linked: bool = False
    is_confirmed: bool = False
    is_primary: bool = False
    jid: str | None = None
    lid: str | None = None
    device_number: int | None = None
    push_name: str | None = None
    business_name: str | None = None
    platform: str | None = None
    pairing_started_at: float | None = None
    pairing_phone: str | None = None
    updated_at: float = 0.0
    last_connected_at: float | None = None
    last_disconnected_at: float | None = None
    last_seen_at: float | None = None
    last_activity_at: float | None = None
    # The last seal of the store that is known of: an older sealed store was put in its place.
    sealed_sequence: int = 0

    @property
    def is_declared(self) -> bool:
        """True while there is a drop-in file that declares this account."""
        return self.declared_in is not None and not self.is_declaration_gone

    @property
    def phone(self) -> str | None:
        """The phone number in international form, from the JID."""
        if self.jid is None or not self.jid.endswith("@s.whatsapp.net"):
            return None
        return "+" + self.jid.partition("@")[0]


INTENT_COLUMNS = (
    "name",
    "display_name",
    "desired",
    "expected_phone",
    "intent",
    "proxy_file",
    "daily_limit",
    "per_minute_limit",
    "declared_in",
    "is_declaration_gone",
    "declared_desired",
)
IMMUTABLE_COLUMNS = ("id", "owner_uid", "created_at")
ACTUAL_COLUMNS = tuple(
    name for name in AccountRecord.__struct_fields__ if name not in (*INTENT_COLUMNS, *IMMUTABLE_COLUMNS)
)


class EventDraft(msgspec.Struct, frozen=True, kw_only=True):
    """An event before the registry gave it its id; its owner is the account's, None when it has none."""

    time: float
    type: str
    account_id: str | None
    account_name: str | None
    owner_uid: int | None
    data: dict[str, Any]


def account_event(
    record: AccountRecord, event_type: str, data: dict[str, Any], *, time: float, name: str | None = None
) -> EventDraft:
    """Return an event of an account; `name` is what it is called from now on, when that changes."""
    return EventDraft(
        time=time,
        type=event_type,
        account_id=record.id,
        account_name=name or record.name,
        owner_uid=record.owner_uid,
        data=data,
    )


def daemon_event(event_type: str, data: dict[str, Any], *, time: float) -> EventDraft:
    """Return an event of the daemon itself."""
    return EventDraft(
        time=time, type=event_type, account_id=None, account_name=None, owner_uid=None, data=data
    )


class EventRecord(EventDraft, frozen=True, kw_only=True):
    """An event as kept; ids rise and never repeat."""

    id: int


class TransitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One change of state."""

    account_id: str
    time: float
    old: State | None
    new: State
    reason: str | None


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to which account of whom, and how it went; `id` is 0 before the registry gave one."""

    time: float
    uid: int | None
    user: str
    pid: int | None
    source: Literal["cli", "drop-in", "daemon", "phone"]
    action: str
    account_id: str | None
    account_label: str | None
    owner_uid: int | None
    result: str
    detail: str | None = None
    id: int = 0


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Something that needs a human. Times are seconds since the epoch.

    Attributes:
        subject: what it is about: an account's id, or a part of the daemon; one incident at a time for each.
        kind: a slug; it may change while the incident is open.
        outcome: how the subject stood at the end.
        told: what each channel has delivered: the kinds, and `closed` for the end.
        is_settled: it is over and everybody was told.
    """

    id: str
    subject: str
    kind: str
    line: str
    action: str | None
    account_id: str | None = None
    account_name: str | None = None
    owner_uid: int | None = None
    opened_at: float
    closed_at: float | None = None
    outcome: str | None = None
    told: dict[str, list[str]] = {}
    is_settled: bool = False


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """What one transaction writes behind.

    The actual columns of accounts, transitions, events, audit rows, incidents.
    """

    accounts: list[AccountRecord]
    transitions: list[TransitionRecord]
    events: list[EventDraft]
    audits: list[AuditRecord] = []
    incidents: list[IncidentRecord] = []


class MessageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A message or reaction, as in `sessions.incoming.Incoming`; `id` is 0 before the registry gave one."""

    account_id: str
    message_id: str
    chat: str
    sender: str | None
    sender_lid: str | None
    push_name: str | None
    from_me: bool
    is_group: bool
    kind: str
    text: str | None
    quoted_id: str | None
    target_id: str | None
    time: float
    received_at: float
    id: int = 0

    @property
    def is_counted(self) -> bool:
        """True for what counts as a message received: not one's own, and no reaction to another."""
        return not self.from_me and self.kind not in ("reaction", "edited", "revoked")


class OutgoingRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A text to be sent; `id` is 0 before the registry gave one. Times are seconds since the epoch.

    Attributes:
        key: the caller's own name for it; the same key again is the same text, and is sent once.
        target: whom it is for, as asked: a JID, or digits of a phone number.
        chat: the JID that the target turned out to be.
        reason: why it waits, or why it failed.
        message_id: WhatsApp's id, once it was sent.
    """

    account_id: str
    key: str | None
    target: str
    text: str
    created_at: float
    next_attempt_at: float
    state: Literal["queued", "sending", "sent", "failed"] = "queued"
    chat: str | None = None
    reason: str | None = None
    attempts: int = 0
    settled_at: float | None = None
    message_id: str | None = None
    id: int = 0


class DeliveryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to a webhook; `id` is 0 before the registry gave one.

    Attributes:
        message_id: names the event to the receiver; the same at each attempt.
        lane: the account whose events keep their order among each other; empty for the daemon's own.
        body: what is sent, byte for byte.
        attempted_at: when it was last tried.
        status: of the last answer, None without one.
        error: why the last attempt failed.
    """

    endpoint: str
    event_id: int
    event_type: str
    message_id: str
    lane: str
    account_name: str | None
    body: str
    created_at: float
    next_attempt_at: float
    state: Literal["queued", "delivered", "dead"] = "queued"
    attempts: int = 0
    attempted_at: float | None = None
    status: int | None = None
    error: str | None = None
    id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """Messages of one account that came in together.

    Attributes:
        day: the day they count for, such as 2026-01-31.
        kept: how many of its messages an account keeps.
        kept_since: those that came before this go.
        event: makes the event of a message.
    """

    account_id: str
    messages: list[MessageRecord]
    day: str
    kept: int
    kept_since: float
    event: Callable[[MessageRecord], EventDraft]


class MessageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages of an account to read; `after_id` is exclusive."""

    account_id: str
    after_id: int | None = None
    from_time: float | None = None
    chat: str | None = None
    limit: int = 100


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A group that an account was in when the list was last taken over."""

    account_id: str
    group: Group
    synced_at: float


class TrafficRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What an account has received and sent on a day."""

    account_id: str
    day: str
    received: int
    sent: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch became: its events with their ids, and the accounts whose claim an index refused."""

    events: list[EventRecord]
    refused: list[str]


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events or audit rows to read; times are seconds since the epoch, ids are exclusive below.

    Attributes:
        owners: only about accounts of these uids; None: all, and what is the daemon's own.
        by_uid: of the audit log also what this user did to no account in particular.
    """

    after_id: int | None = None
    from_time: float | None = None
    until_id: int | None = None
    until_time: float | None = None
    account_id: str | None = None
    owners: frozenset[int] | None = None
    by_uid: int | None = None
    types: tuple[str, ...] = ()
    limit: int = 1000

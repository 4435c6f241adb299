"""The objects that travel on the wire, as frozen structures.

The one rule: times are RFC 3339 UTC with milliseconds, names carry their unit, and a secret (QR payload,
pairing code) stands in `Qr` and in the answers of `account.qr`, `.pair` and `.add` only.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sessions.states import State

QrFormat = Literal["terminal", "png", "svg", "html", "raw", "datauri"]
Desired = Literal["running", "stopped"]
Health = Literal["healthy", "warning", "critical", "inactive"]
LogoutOutcome = Literal["done", "failed", "unknown", "not-linked"]


class Wire(msgspec.Struct, frozen=True, kw_only=True):
    """Base of everything on the wire."""


class Pairing(Wire, frozen=True, kw_only=True):
    """A pairing attempt under way; `number` 0 means that the first QR has not come yet."""

    method: Literal["qr", "code"]
    round: int
    number: int
    count: int
    issued_at: str | None
    expires_at: str | None
    expires_in_seconds: float | None
    deadline_at: str


class Reconnect(Wire, frozen=True, kw_only=True):
    """Where the reconnect schedule stands; attempt 0 is the library's own retry."""

    attempt: int
    next_attempt_at: str | None


class Worker(Wire, frozen=True, kw_only=True):
    """The process that carries the session."""

    state: str
    pid: int | None
    restarts: int
    memory_bytes: int | None
    since: str


class Declaration(Wire, frozen=True, kw_only=True):
    """The drop-in file that declares an account: what it wants, and whether it is gone."""

    file: str
    desired: Desired | None
    is_gone: bool


class Limits(Wire, frozen=True, kw_only=True):
    """Limits of an account's own; null where it has none."""

    daily: int | None
    per_minute: int | None


class Account(Wire, frozen=True, kw_only=True):
    """One account as clients see it."""

    id: str
    name: str
    display_name: str | None
    owner: str
    owner_uid: int
    primary: bool
    state: State
    reason: str | None
    detail: str | None
    action: str | None
    since: str
    desired: Desired
    health: Health
    health_reasons: list[str]
    jid: str | None
    lid: str | None
    phone: str | None
    expected_phone: str | None
    device_number: int | None
    push_name: str | None
    business_name: str | None
    platform: str | None
    pairing: Pairing | None
    reconnect: Reconnect | None
    declaration: Declaration | None
    limits: Limits
    proxy_file: str | None
    worker: Worker | msgspec.UnsetType | None = msgspec.UNSET
    sent_today: int
    received_today: int
    daily_limit: int
    waiting: int
    created_at: str
    updated_at: str
    last_connected_at: str | None
    last_disconnected_at: str | None
    last_seen_at: str | None
    last_activity_at: str | None


class Qr(Wire, frozen=True, kw_only=True):
    """One QR, rendered; `data` is the secret itself."""

    id: str
    format: QrFormat
    media_type: str
    encoding: Literal["base64", "utf-8"]
    data: str
    round: int
    number: int
    count: int
    issued_at: str
    expires_at: str
    expires_in_seconds: float


class AccountRef(Wire, frozen=True, kw_only=True):
    """How an event names its account."""

    id: str
    name: str


class Event(Wire, frozen=True, kw_only=True):
    """Something that happened; `id` rises and never repeats."""

    id: int
    time: str
    type: str
    account: AccountRef | None
    data: dict[str, Any]


class Message(Wire, frozen=True, kw_only=True):
    """A message or reaction that came in; `id` is the row's and rises, `message_id` is WhatsApp's.

    `sender` is null while only the LID is known. `text` is the text, the caption, or a reaction's emoji.
    """

    id: int
    message_id: str
    time: str
    received_at: str
    chat: str
    is_group: bool
    from_me: bool
    sender: str | None
    sender_lid: str | None
    push_name: str | None
    kind: str
    text: str | None
    quoted_id: str | None
    target_id: str | None


class Outgoing(Wire, frozen=True, kw_only=True):
    """A text to be sent. `state` ends as sent or failed, with the reason; `chat` is the JID it went to."""

    id: int
    key: str | None
    to: str
    chat: str | None
    text: str
    state: Literal["queued", "sending", "sent", "failed"]
    reason: str | None
    attempts: int
    created_at: str
    settled_at: str | None
    message_id: str | None


class Participant(Wire, frozen=True, kw_only=True):
    """Somebody in a group."""

    jid: str | None
    lid: str | None
    admin: bool


class Group(Wire, frozen=True, kw_only=True):
    """A group that an account is in, as it was at `synced_at`."""

    jid: str
    name: str
    participants: list[Participant]
    synced_at: str


class Transition(Wire, frozen=True, kw_only=True):
    """One change of state in an account's history."""

    time: str
    old: State | None
    new: State
    reason: str | None


class Audit(Wire, frozen=True, kw_only=True):
    """Who did what to which account, and how it went."""

    id: int
    time: str
    user: str
    uid: int | None
    pid: int | None
    source: Literal["cli", "drop-in", "daemon", "phone"]
    action: str
    account: AccountRef | None
    result: str
    detail: str | None

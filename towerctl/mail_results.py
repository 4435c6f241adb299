"""The shapes of what towerd answers about messages and groups, as a type checker sees them.

The one rule: as in `results`, nothing here is loaded at run time.
"""

from __future__ import annotations

from typing import TypedDict

from towerctl.results import Account


class Message(TypedDict):
    """A message or reaction that came in."""

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


class Outgoing(TypedDict):
    """A text to be sent."""

    id: int
    key: str | None
    to: str
    chat: str | None
    text: str
    state: str
    reason: str | None
    attempts: int
    created_at: str
    settled_at: str | None
    message_id: str | None


class Participant(TypedDict):
    """Somebody in a group."""

    jid: str | None
    lid: str | None
    admin: bool


class Group(TypedDict):
    """A group that an account is in."""

    jid: str
    name: str
    participants: list[Participant]
    synced_at: str


class MessagesResult(TypedDict):
    """Messages of one account, oldest first."""

    account: Account
    messages: list[Message]


class SendResult(TypedDict):
    """A text that was accepted, as it stands now."""

    account: Account
    message: Outgoing


class OutboxResult(TypedDict):
    """Texts of one account, oldest first."""

    account: Account
    messages: list[Outgoing]


class GroupsResult(TypedDict):
    """Groups of one account, by name."""

    account: Account
    groups: list[Group]

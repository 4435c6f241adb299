"""What the methods `message.*` take and answer.

The one rule: what a text says stands in these answers and nowhere else on the wire.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from towerd.protocol.parameters import OptionalSelector, Params, RowId, Text, WaitSeconds
from towerd.protocol.types import Account, Group, Message, Outgoing, Wire


class ListMessages(Params, frozen=True, kw_only=True):
    """What `message.list` takes: the last that fit; with an id in `since` the first ones behind it."""

    account: OptionalSelector = None
    chat: Text | None = None
    since: RowId | Text | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100


class SendMessage(Params, frozen=True, kw_only=True):
    """What `message.send` takes: `to` is a phone number, a JID or a group's JID.

    How long a text may be is no matter of its form: one that is too long is an error of its own.
    """

    to: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    text: Annotated[str, msgspec.Meta(min_length=1)]
    account: OptionalSelector = None
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    wait_seconds: WaitSeconds = 0


class ListOutgoing(Params, frozen=True, kw_only=True):
    """What `message.outbox` takes."""

    account: OptionalSelector = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100


class MessagesResult(Wire, frozen=True, kw_only=True):
    """Messages of one account, oldest first."""

    account: Account
    messages: list[Message]


class GroupsResult(Wire, frozen=True, kw_only=True):
    """Groups of one account, by name."""

    account: Account
    groups: list[Group]


class SendResult(Wire, frozen=True, kw_only=True):
    """A text that was accepted, as it stands now."""

    account: Account
    message: Outgoing


class OutboxResult(Wire, frozen=True, kw_only=True):
    """Texts of one account, oldest first."""

    account: Account
    messages: list[Outgoing]

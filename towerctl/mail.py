"""The methods `message.*` and `group.*`, one function each, over a client.

The one rule: as in the client, an answer is returned as the daemon sent it, and an error is a `Failure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towerctl import mail_results as results
    from towerctl.client import Client

_GRACE_SECONDS = 10.0
"""Added to a time limit that the daemon keeps, before the daemon itself is called mute."""


def list_messages(
    client: Client,
    account: str | None,
    *,
    chat: str | None = None,
    since: int | str | None = None,
    limit: int | None = None,
) -> results.MessagesResult:
    """List an account's messages, oldest first."""
    answer: results.MessagesResult = client.call(
        "message.list", _given(account=account, chat=chat, since=since, limit=limit)
    )
    return answer


def send(
    client: Client,
    account: str | None,
    *,
    to: str,
    text: str,
    key: str | None = None,
    wait_seconds: float = 0,
) -> results.SendResult:
    """Have an account send a text."""
    answer: results.SendResult = client.call(
        "message.send",
        _given(account=account, to=to, text=text, key=key, wait_seconds=wait_seconds),
        within_seconds=wait_seconds + _GRACE_SECONDS if wait_seconds else None,
    )
    return answer


def outbox(client: Client, account: str | None, *, limit: int | None = None) -> results.OutboxResult:
    """List the texts that an account was to send, and what became of them."""
    answer: results.OutboxResult = client.call("message.outbox", _given(account=account, limit=limit))
    return answer


def groups(client: Client, account: str | None) -> results.GroupsResult:
    """List the groups that an account is in."""
    answer: results.GroupsResult = client.call("group.list", _given(account=account))
    return answer


def _given(**params: Any) -> dict[str, Any]:
    """Return the parameters that are not None."""
    return {name: value for name, value in params.items() if value is not None}

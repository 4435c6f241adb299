"""The shapes of what towerd answers about webhooks, as a type checker sees them.

The one rule: as in `results`, nothing here is loaded at run time.
"""

from __future__ import annotations

from typing import TypedDict

from towerctl.results import AccountRef


class Webhook(TypedDict):
    """An endpoint that events are sent to."""

    name: str
    url: str
    events: list[str]
    accounts: list[str]
    owners: list[str]
    queued: int
    dead: int
    trouble: str | None
    last_delivered_at: str | None


class Delivery(TypedDict):
    """An event on its way to a webhook."""

    id: int
    endpoint: str
    event_id: int
    type: str
    message_id: str
    account: AccountRef | None
    state: str
    attempts: int
    created_at: str
    next_attempt_at: str | None
    attempted_at: str | None
    status: int | None
    error: str | None


class WebhooksResult(TypedDict):
    """The webhooks, in the order of the configuration."""

    webhooks: list[Webhook]


class WebhookTestResult(TypedDict):
    """Who took a test event."""

    endpoint: str
    status: int


class DeliveriesResult(TypedDict):
    """Deliveries, oldest first."""

    deliveries: list[Delivery]


class RetryResult(TypedDict):
    """How many deliveries are tried again."""

    endpoint: str
    queued: int

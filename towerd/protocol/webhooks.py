"""Parameters and results of the methods `webhook.*`.

The one rule: as in `types` and `parameters`; a secret, or where it lies, is in none of them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from towerd.protocol.parameters import Params, RowId, Text
from towerd.protocol.types import AccountRef, Wire

DeliveryState = Literal["queued", "delivered", "dead"]


class OneEndpoint(Params, frozen=True, kw_only=True):
    """An endpoint, by its name."""

    endpoint: Text


class ListDeliveries(Params, frozen=True, kw_only=True):
    """What `webhook.deliveries` takes."""

    endpoint: Text | None = None
    state: DeliveryState | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=10000)] = 100


class RetryDeliveries(Params, frozen=True, kw_only=True):
    """What `webhook.retry` takes; without `delivery` all that are dead or waiting are tried again."""

    endpoint: Text
    delivery: RowId | None = None


class Webhook(Wire, frozen=True, kw_only=True):
    """An endpoint and how it does; `trouble` is why the last attempt failed."""

    name: str
    url: str
    events: list[str]
    accounts: list[str]
    owners: list[str]
    queued: int
    dead: int
    trouble: str | None
    last_delivered_at: str | None


class Delivery(Wire, frozen=True, kw_only=True):
    """An event on its way to an endpoint, and what became of it."""

    id: int
    endpoint: str
    event_id: int
    type: str
    message_id: str
    account: AccountRef | None
    state: DeliveryState
    attempts: int
    created_at: str
    next_attempt_at: str | None
    attempted_at: str | None
    status: int | None
    error: str | None


class WebhooksResult(Wire, frozen=True, kw_only=True):
    """The endpoints, in the order of the configuration."""

    webhooks: list[Webhook]


class WebhookTestResult(Wire, frozen=True, kw_only=True):
    """The endpoint took the event."""

    endpoint: str
    status: int


class DeliveriesResult(Wire, frozen=True, kw_only=True):
    """Deliveries, oldest first."""

    deliveries: list[Delivery]


class RetryResult(Wire, frozen=True, kw_only=True):
    """How many deliveries are tried again."""

    endpoint: str
    queued: int

"""The methods `webhook.*`."""

from __future__ import annotations

import secrets

from towerd.accounts.records import DeliveryRecord
from towerd.clock import rfc3339, rfc3339_or_none
from towerd.config import Endpoint
from towerd.protocol import methods as m
from towerd.protocol import webhooks as wire
from towerd.protocol.errors import Field, TowerError
from towerd.protocol.types import AccountRef
from towerd.rpc.call import Call
from towerd.supervision.supervisor import invalid
from towerd.webhooks.outbox import body_with


async def list_webhooks(call: Call, _params: m.Nothing) -> wire.WebhooksResult:
    """List the endpoints and how they do."""
    counts = await call.services.ledger.read(lambda registry: registry.postbox.counts())
    return wire.WebhooksResult(webhooks=[_to_wire(call, one, counts) for one in _endpoints(call)])


async def test(call: Call, params: wire.OneEndpoint) -> wire.WebhookTestResult:
    """Send an event of the type webhook.test to an endpoint, once, whatever waits there."""
    endpoint = _find(call, params.endpoint)
    body = body_with("webhook.test", call.services.clock.now(), id=0, account=None, data={})
    outcome = await call.services.courier.attempt(endpoint, f"test_{secrets.token_hex(8)}", body)
    if outcome.error is not None or outcome.status is None:
        raise TowerError(
            "webhook-failed",
            f"{endpoint.name} did not take the event: {outcome.error}",
            hint="look at what listens there; see WEBHOOKS in tower.toml(5)",
        )
    return wire.WebhookTestResult(endpoint=endpoint.name, status=outcome.status)


async def deliveries(call: Call, params: wire.ListDeliveries) -> wire.DeliveriesResult:
    """List deliveries, oldest first."""
    if params.endpoint is not None:
        names = [_find(call, params.endpoint).name]
    else:
        names = [one.name for one in _endpoints(call)]
    records = await call.services.ledger.read(
        lambda registry: registry.postbox.last(names, params.state, params.limit)
    )
    return wire.DeliveriesResult(deliveries=[_delivery(one) for one in records])


async def retry(call: Call, params: wire.RetryDeliveries) -> wire.RetryResult:
    """Try deliveries again, at once."""
    name = _find(call, params.endpoint).name
    now = call.services.clock.now()
    queued = await call.services.ledger.read(
        lambda registry: registry.postbox.again(name, params.delivery, now=now)
    )
    if params.delivery is not None and not queued:
        raise invalid([Field(field="delivery", why=f"{name} has no delivery {params.delivery}")])
    call.services.courier.wake()
    call.notes.append(f"{queued} deliveries to {name}")
    return wire.RetryResult(endpoint=name, queued=queued)


def _endpoints(call: Call) -> tuple[Endpoint, ...]:
    return call.services.settings.current.webhook.endpoints


def _find(call: Call, name: str) -> Endpoint:
    """Return an endpoint by its name.

    Raises:
        TowerError: `invalid-field`.
    """
    endpoint = call.services.courier.endpoint(name)
    if endpoint is None:
        known = ", ".join(one.name for one in _endpoints(call)) or "none"
        raise invalid([Field(field="endpoint", why=f"there is no webhook {name}; configured are: {known}")])
    return endpoint


def _to_wire(call: Call, endpoint: Endpoint, counts: dict[tuple[str, str], int]) -> wire.Webhook:
    standing = call.services.courier.standing(endpoint.name)
    return wire.Webhook(
        name=endpoint.name,
        url=endpoint.url,
        events=list(endpoint.events),
        accounts=list(endpoint.accounts),
        owners=list(endpoint.owners),
        queued=counts.get((endpoint.name, "queued"), 0),
        dead=counts.get((endpoint.name, "dead"), 0),
        trouble=standing.trouble,
        last_delivered_at=rfc3339_or_none(standing.delivered_at),
    )


def _delivery(record: DeliveryRecord) -> wire.Delivery:
    account = AccountRef(id=record.lane, name=record.account_name or "") if record.lane else None
    return wire.Delivery(
        id=record.id,
        endpoint=record.endpoint,
        event_id=record.event_id,
        type=record.event_type,
        message_id=record.message_id,
        account=account,
        state=record.state,
        attempts=record.attempts,
        created_at=rfc3339(record.created_at),
        next_attempt_at=rfc3339(record.next_attempt_at) if record.state == "queued" else None,
        attempted_at=rfc3339_or_none(record.attempted_at),
        status=record.status,
        error=record.error,
    )

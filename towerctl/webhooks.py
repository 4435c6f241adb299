"""The methods `webhook.*`, one function each, over a client.

The one rule: as in the client, an answer is returned as the daemon sent it, and an error is a `Failure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towerctl import webhook_results as results
    from towerctl.client import Client


def list_webhooks(client: Client) -> results.WebhooksResult:
    """List the webhooks and how they do."""
    answer: results.WebhooksResult = client.call("webhook.list")
    return answer


def test(client: Client, endpoint: str) -> results.WebhookTestResult:
    """Send a test event to a webhook."""
    answer: results.WebhookTestResult = client.call("webhook.test", {"endpoint": endpoint})
    return answer


def deliveries(
    client: Client, endpoint: str | None, *, state: str | None = None, limit: int | None = None
) -> results.DeliveriesResult:
    """List deliveries, oldest first."""
    answer: results.DeliveriesResult = client.call(
        "webhook.deliveries", _given(endpoint=endpoint, state=state, limit=limit)
    )
    return answer


def retry(client: Client, endpoint: str, *, delivery: int | None = None) -> results.RetryResult:
    """Try deliveries again, at once."""
    answer: results.RetryResult = client.call("webhook.retry", _given(endpoint=endpoint, delivery=delivery))
    return answer


def _given(**params: Any) -> dict[str, Any]:
    """Return the parameters that are not None."""
    return {name: value for name, value in params.items() if value is not None}

"""Which events go to which endpoints, and what is sent of them.

The one rule: what is sent is made once, when the event is written, and never changes; every attempt sends the
same bytes under the same name.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

from towerd.accounts.records import DeliveryRecord, EventRecord
from towerd.clock import rfc3339
from towerd.config import Endpoint, WebhookConfig
from towerd.settings import Settings
from towerd.users import Users


class Outbox:
    """Says what is to be delivered.

    Args:
        settings: has the endpoints.
        users: the user database.
    """

    def __init__(self, settings: Settings, users: Users | None = None) -> None:
        self._settings = settings
        self._users = users or Users()
        self._known: tuple[WebhookConfig, list[tuple[Endpoint, set[int]]]] | None = None

    def deliveries(self, event: EventRecord) -> list[DeliveryRecord]:
        """Return a delivery for each endpoint that wants an event."""
        wanting = [one for one, owners in self._endpoints() if _fits(one, owners, event)]
        if not wanting:
            return []
        body = body_of(event)
        return [
            DeliveryRecord(
                endpoint=endpoint.name,
                event_id=event.id,
                event_type=event.type,
                message_id=message_id(event),
                lane=event.account_id or "",
                account_name=event.account_name,
                body=body,
                created_at=event.time,
                next_attempt_at=event.time,
            )
            for endpoint in wanting
        ]

    def _endpoints(self) -> list[tuple[Endpoint, set[int]]]:
        """Return the endpoints with the owners that they are limited to, looked up once after each reload."""
        section = self._settings.current.webhook
        if self._known is None or self._known[0] is not section:
            found = [(one, self._uids(one)) for one in section.endpoints]
            self._known = (section, found)
        return self._known[1]

    def _uids(self, endpoint: Endpoint) -> set[int]:
        uids = (self._users.uid_of(name) for name in endpoint.owners)
        return {uid for uid in uids if uid is not None}


def _fits(endpoint: Endpoint, owners: set[int], event: EventRecord) -> bool:
    if not any(fnmatchcase(event.type, pattern) for pattern in endpoint.events):
        return False
    if endpoint.owners and event.owner_uid not in owners:
        return False
    return not endpoint.accounts or bool({event.account_id, event.account_name} & set(endpoint.accounts))


def message_id(event: EventRecord) -> str:
    """Return what names an event to every receiver, over a new beginning of the database too."""
    return f"evt_{event.id}_{int(event.time * 1000)}"


def body_of(event: EventRecord) -> str:
    """Return an event as it is sent: `type`, `timestamp` and `data` are as Standard Webhooks has them."""
    account = None
    if event.account_id is not None:
        account = {"id": event.account_id, "name": event.account_name or ""}
    return body_with(event.type, event.time, id=event.id, account=account, data=event.data)


def body_with(event_type: str, time: float, **fields: Any) -> str:
    """Return a body in the shape of an event's."""
    content = {"type": event_type, "timestamp": rfc3339(time), **fields}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))

"""Which function handles which method, sorted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from towerd.rpc.handlers import (
    accounts,
    audit,
    daemon,
    events,
    importing,
    keys,
    messages,
    moving,
    notify,
    webhook,
)

Handler = Callable[[Any, Any], Awaitable[Any]]

HANDLERS: dict[str, Handler] = {
    "account.add": accounts.add,
    "account.adopt": moving.adopt,
    "account.export": moving.export,
    "account.get": accounts.get,
    "account.health": accounts.health,
    "account.import": importing.import_accounts,
    "account.list": accounts.list_accounts,
    "account.logout": accounts.logout,
    "account.pair": accounts.pair,
    "account.qr": accounts.qr,
    "account.remove": accounts.remove,
    "account.restart": accounts.restart,
    "account.set": accounts.set_names,
    "account.start": accounts.start,
    "account.stop": accounts.stop,
    "account.unpair": accounts.unpair,
    "account.wait": accounts.wait,
    "audit.list": audit.list_audit,
    "daemon.config": daemon.config,
    "daemon.doctor": daemon.doctor,
    "daemon.metrics": daemon.metrics,
    "daemon.release": daemon.release,
    "daemon.reload": daemon.reload,
    "daemon.status": daemon.status,
    "daemon.version": daemon.version,
    "event.list": events.list_events,
    "event.subscribe": events.subscribe,
    "event.unsubscribe": events.unsubscribe,
    "group.list": messages.groups,
    "key.rotate": keys.rotate,
    "message.list": messages.list_messages,
    "message.outbox": messages.outbox,
    "message.send": messages.send,
    "notify.test": notify.test,
    "rpc.discover": daemon.discover,
    "transfer.begin": moving.begin,
    "transfer.read": moving.read,
    "transfer.write": moving.write,
    "webhook.deliveries": webhook.deliveries,
    "webhook.list": webhook.list_webhooks,
    "webhook.retry": webhook.retry,
    "webhook.test": webhook.test,
}

"""The types of events, in the order of the manual, for clients."""

from __future__ import annotations

EVENT_TYPES: tuple[str, ...] = (
    "account.added",
    "account.recovered",
    "account.renamed",
    "account.removed",
    "session.state",
    "session.qr",
    "message.received",
    "reaction.received",
    "session.code",
    "session.connected",
    "session.disconnected",
    "session.logged_out",
    "session.timeout",
    "session.duplicate",
    "session.phone_changed",
    "session.phone_unknown",
    "session.wrong_phone",
    "health.changed",
    "worker.exited",
    "fleet.opened",
    "fleet.closed",
    "config.changed",
    "config.reloaded",
    "incident.opened",
    "incident.changed",
    "incident.closed",
    "daemon.started",
    "daemon.stopping",
)

"""Figures about the daemon and its accounts, in the text form that Prometheus reads.

The one rule: no label names an account, a phone or a chat, so that whoever watches machines may read them;
and what a label can say comes out of a table, so that nobody can make series without end.
"""

from __future__ import annotations

import logging
from collections import Counter as Count
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sessions.states import ATTEMPT_STATES, State
from towerd import __version__
from towerd.accounts.records import EventRecord
from towerd.protocol.types import Health
from towerd.reasons import REASONS
from towerd.supervision.health import health

if TYPE_CHECKING:
    from towerd.supervision.supervisor import Supervisor

log = logging.getLogger(__name__)

_PAIRING_BUCKETS = (0.25, 0.5, 1, 1.5, 2, 3, 5, 8, 13, 20, 30, 60, 120, 300)
_MESSAGE_EVENTS = ("message.received", "reaction.received", "message.sent", "message.failed")
_DELIVERY_OUTCOMES = ("delivered", "failed", "dead")
_NUMBERED = "connect-failure-"
_RPC_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30)


class Metrics:
    """Counts what happens, and what is.

    Args:
        supervisor: has the accounts.
        started_at: when the daemon started, in seconds since the epoch.
    """

    def __init__(self, supervisor: Supervisor, started_at: float) -> None:
        # When a series began is one more series for each; who needs it has tower_start_time_seconds.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        registry = self._registry = CollectorRegistry()
        registry.register(_Present(supervisor, started_at))
        self._began: dict[str, float] = {}
        self._scanned: dict[str, float] = {}

        def counter(name: str, meaning: str, *labels: str) -> Counter:
            return Counter(name, meaning, labels, registry=registry)

        def histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, meaning, labels, buckets=buckets, registry=registry)

        self._qrs = counter("tower_qrs", "QRs that came on offer.")
        self._time_to_qr = histogram(
            "tower_time_to_qr_seconds", "From the beginning of a pairing to its first QR.", _PAIRING_BUCKETS
        )
        self._time_to_connected = histogram(
            "tower_scan_to_connected_seconds", "From the scan to the first login.", _PAIRING_BUCKETS
        )
        self._time_to_phone = histogram(
            "tower_scan_to_phone_seconds",
            "From the scan to the first login that knew the phone's number.",
            _PAIRING_BUCKETS,
        )
        self._pairings = counter("tower_pairings", "Pairings that ended, by how.", "outcome")
        self._reconnects = counter("tower_reconnects", "Logins after a lost connection.")
        self._exits = counter("tower_worker_exits", "Workers that ended or were replaced.", "cause")
        self._messages = counter("tower_messages", "Messages, by what became of them.", "what")
        self._deliveries = counter(
            "tower_webhook_deliveries",
            "Attempts to deliver an event, by how they ended.",
            "endpoint",
            "outcome",
        )
        self._rpc = histogram("tower_rpc_seconds", "Time to an answer.", _RPC_BUCKETS, "method")
        self._rpc_errors = counter("tower_rpc_errors", "Answers that are errors.", "slug")
        # A series that begins with its first event has no rate when it matters.
        self._pairings.labels("linked")
        self._exits.labels("worker-lost")
        for event_type in _MESSAGE_EVENTS:
            self._messages.labels(_what(event_type))

    def text(self) -> str:
        """Return all figures in the text exposition format 0.0.4 of Prometheus."""
        return generate_latest(self._registry).decode()

    def take(self, events: Sequence[EventRecord]) -> None:
        """Count what happened; a bug here is logged and stops nothing."""
        try:
            for event in events:
                self._take(event)
        except Exception:
            log.exception("events could not be counted")

    def answered(self, method: str, seconds: float, slug: str | None) -> None:
        """Count an answer; `slug` is that of the error, None when there was none."""
        self._rpc.labels(method).observe(seconds)
        if slug is not None:
            self._rpc_errors.labels(slug).inc()

    def attempted(self, endpoint: str, outcome: str) -> None:
        """Count an attempt to deliver to a webhook."""
        for one in _DELIVERY_OUTCOMES:
            self._deliveries.labels(endpoint, one)
        self._deliveries.labels(endpoint, outcome).inc()

    def _take(self, event: EventRecord) -> None:
        account = event.account_id or ""
        match event.type:
            case "session.qr":
                self._qrs.inc()
                _observe(self._time_to_qr, self._began.pop(account, None), event.time)
            case "session.state":
                self._take_state(event, account)
            case "session.connected":
                scanned_at = self._scanned.pop(account, None)
                _observe(self._time_to_connected, scanned_at, event.time)
                if event.data["phone"] is not None:
                    _observe(self._time_to_phone, scanned_at, event.time)
            case "worker.exited":
                self._exits.labels(_bounded(event.data["cause"])).inc()
            case event_type if event_type in _MESSAGE_EVENTS:
                self._messages.labels(_what(event_type)).inc()
            case "account.removed":
                self._began.pop(account, None)
                self._scanned.pop(account, None)

    def _take_state(self, event: EventRecord, account: str) -> None:
        old, new, reason = (event.data[key] for key in ("old", "new", "reason"))
        if new == State.PAIRING and old != State.PAIRING:
            self._began[account] = event.time
        elif new == State.AUTHENTICATED:
            self._scanned[account] = event.time
        elif new == State.CONNECTED and account in self._scanned:
            self._pairings.labels("linked").inc()
        elif new == State.CONNECTED and old == State.RECONNECTING:
            self._reconnects.inc()
        if old in ATTEMPT_STATES and new in (State.UNPAIRED, State.FAILED):
            self._pairings.labels(_bounded(reason or "none")).inc()
            self._began.pop(account, None)
            self._scanned.pop(account, None)


def _observe(histogram: Histogram, began: float | None, now: float) -> None:
    # The clock may have been set back meanwhile.
    if began is not None and now >= began:
        histogram.observe(now - began)


def _what(event_type: str) -> str:
    return event_type.replace(".", "-")


def _bounded(reason: str) -> str:
    """Return a reason as a label: those that carry a number of WhatsApp's, or come from a worker, are one."""
    if reason.startswith(_NUMBERED):
        return _NUMBERED.rstrip("-")
    return reason if reason in REASONS or reason == "none" else "other"


class _Present(Collector):
    """What is true at the moment of the question."""

    def __init__(self, supervisor: Supervisor, started_at: float) -> None:
        self._supervisor = supervisor
        self._started_at = started_at

    def collect(self) -> Iterator[Metric]:
        """Yield the gauges."""
        keepers = self._supervisor.keepers
        states = Count(keeper.account.state.value for keeper in keepers)
        accounts = GaugeMetricFamily("tower_accounts", "Accounts by state.", labels=["state"])
        for state in State:
            accounts.add_metric([state.value], states[state.value])
        yield accounts
        wells = Count(health(keeper.condition)[0] for keeper in keepers)
        levels = GaugeMetricFamily("tower_accounts_by_health", "Accounts by health.", labels=["level"])
        for level in get_args(Health):
            levels.add_metric([level], wells[level])
        yield levels
        workers = [one.carrier.worker for one in keepers if one.carrier.worker is not None]
        memory = sum(worker.memory_bytes() or 0 for worker in workers)
        waiting = sum(keeper.waiting for keeper in keepers)
        sent = sum(keeper.tally.sent for keeper in keepers)
        yield GaugeMetricFamily("tower_workers", "Worker processes.", value=len(workers))
        yield GaugeMetricFamily("tower_workers_memory_bytes", "Their resident memory.", value=memory)
        yield GaugeMetricFamily("tower_texts_waiting", "Texts that wait to be sent.", value=waiting)
        yield GaugeMetricFamily("tower_texts_sent_today", "Texts sent today.", value=sent)
        yield GaugeMetricFamily("tower_start_time_seconds", "Start of towerd.", value=self._started_at)
        build = GaugeMetricFamily("tower_build_info", "What runs.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build

"""Builders of calls, and handlers that do what the test says."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

import msgspec

from tests.unit.towerd.builders import NOW, FakeClock, settings_of
from towerd.access import Access
from towerd.audit import Auditor
from towerd.config import Config
from towerd.events import EventStream
from towerd.metrics import Metrics
from towerd.rpc.call import Call, Services
from towerd.rpc.peer import Peer
from towerd.supervision.stores import Stores


class SilentLedger:
    """Takes what is written behind, and is never in trouble."""

    trouble = None

    def __init__(self) -> None:
        self.audits: list[Any] = []

    def post(self, *_arguments: Any, audit: Any = None, **_keywords: Any) -> None:
        self.audits.append(audit)

    async def settle(self) -> None:
        """All is written."""


def services(**parts: Any) -> Services:
    """Return the daemon's parts; what the test does not name is not there."""
    ledger, clock = SilentLedger(), FakeClock()
    defaults: dict[str, Any] = {
        "supervisor": None,
        "access": Access(settings_of(), own_uid=os.getuid()),
        "ledger": ledger,
        "auditor": Auditor(cast("Any", ledger), clock),
        "fleet": None,
        "notifier": None,
        "doctor": None,
        "events": EventStream(),
        "metrics": Metrics(cast("Any", None), NOW),
        "textfile": None,
        "courier": None,
        "clock": clock,
        "settings": settings_of(Config()),
        "configuration": None,
        "drop_ins": None,
        "reload": None,
        "watch": None,
        "stores": Stores(Path("/nowhere")),
        "transfers": None,
        "state_dir": Path("/nowhere"),
        "started_at": NOW,
        "problems": [],
    }
    return Services(**(defaults | parts))


def a_call(uid: int | None = None, **parts: Any) -> Call:
    """Return a call from this very process, or from one of another user."""

    async def notify(_method: str, _params: msgspec.Struct) -> None:
        """Nobody listens."""

    return Call(
        peer=Peer(
            uid=os.getuid() if uid is None else uid,
            gid=os.getgid(),
            pid=os.getpid(),
            groups=frozenset(os.getgroups()),
        ),
        services=services(**parts),
        notify=notify,
        run=lambda work: work.close,
    )

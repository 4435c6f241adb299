"""What a handler is given besides its parameters.

The one rule: who calls is what the kernel says (SO_PEERCRED), never what the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord
from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.events import EventStream
from towerd.reload import Reload
from towerd.settings import Settings
from towerd.supervision.fleet import Fleet
from towerd.supervision.supervisor import Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The process at the other end of a connection."""

    uid: int
    gid: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The daemon's parts that handlers may use."""

    supervisor: Supervisor
    ledger: Ledger
    auditor: Auditor
    fleet: Fleet
    events: EventStream
    clock: Clock
    settings: Settings
    reload: Reload
    state_dir: Path
    started_at: float
    problems: list[str]


Notify = Callable[[str, msgspec.Struct], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: who, through which connection, and what the daemon offers.

    Attributes:
        notify: sends a notification on the caller's connection; raises ConnectionError when it is gone.
        run: carries on after the answer, until the connection ends; for subscriptions.
        subscriptions: what runs on this connection, by subscription id, with the function that ends it.
        about: accounts that the request turned out to be about, for the audit log.
        notes: what the audit log should say beside it.
    """

    peer: Peer
    services: Services
    notify: Notify
    run: Callable[[Coroutine[Any, Any, None]], Callable[[], object]]
    subscriptions: dict[str, Callable[[], object]] = field(default_factory=dict)
    about: list[AccountRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def for_request(self) -> Call:
        """Return the same call with room of its own for what one request is about."""
        return replace(self, about=[], notes=[])

"""What a handler is given besides its parameters.

The one rule: a handler comes by accounts through `Call.find` and `Call.visible` only, which know what the
caller may do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from towerd.access import Access, Caller
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord
from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.configuration import Configuration
from towerd.doctor.doctor import Doctor
from towerd.dropins import DropIns
from towerd.events import EventStream
from towerd.metrics import Metrics
from towerd.notify import Notifier
from towerd.protocol.methods import METHODS
from towerd.reload import Reload
from towerd.rpc.peer import Peer
from towerd.settings import Settings
from towerd.supervision.fleet import Fleet
from towerd.supervision.keeper import Keeper
from towerd.supervision.selection import address, select, visible
from towerd.supervision.stores import Stores
from towerd.supervision.supervisor import Supervisor
from towerd.textfile import Textfile
from towerd.transfers import Transfers
from towerd.watch import Watch
from towerd.webhooks.courier import Courier


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The daemon's parts that handlers may use."""

    supervisor: Supervisor
    access: Access
    ledger: Ledger
    auditor: Auditor
    fleet: Fleet
    notifier: Notifier
    doctor: Doctor
    events: EventStream
    metrics: Metrics
    textfile: Textfile
    courier: Courier
    clock: Clock
    settings: Settings
    stores: Stores
    transfers: Transfers
    configuration: Configuration
    drop_ins: DropIns
    reload: Reload
    watch: Watch
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
        method: what is called; its right is what the caller needs over the account.
        subscriptions: what runs on this connection, by subscription id, with the function that ends it.
        about: accounts that the request turned out to be about, for the audit log.
        notes: what the audit log should say beside it.
    """

    peer: Peer
    services: Services
    notify: Notify
    run: Callable[[Coroutine[Any, Any, None]], Callable[[], object]]
    method: str = ""
    subscriptions: dict[str, Callable[[], object]] = field(default_factory=dict)
    about: list[AccountRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def for_request(self, method: str) -> Call:
        """Return the same call for one request, with room of its own for what it is about."""
        return replace(self, method=method, about=[], notes=[])

    @property
    def caller(self) -> Caller:
        """What the peer may do now; a reload of the configuration changes it at once."""
        return self.services.access.caller(self.peer.uid, self.peer.groups)

    def visible(self) -> list[Keeper]:
        """Return the accounts that the caller may read, in order of creation."""
        return visible(self.services.supervisor.keepers, self.caller)

    def find(self, selector: str | None) -> Keeper:
        """Return the account that the caller means, if the method may be called for it.

        Raises:
            TowerError: `account-not-found`, `account-ambiguous`; `not-permitted`.
        """
        method, caller = METHODS[self.method], self.caller
        keepers = self.services.supervisor.keepers
        keeper = select(keepers, selector, caller, in_full=method.names_in_full)
        record = keeper.account.record
        self.about.append(record)
        caller.require(method.right, record.owner_uid, address(record, caller.uid))
        return keeper

    def insist(self, keeper: Keeper) -> None:
        """Insist on the method's right once more, after a wait: a reload may have taken it away.

        Raises:
            TowerError: as `find`.
        """
        self.find(keeper.account.record.id)

    def address(self, record: AccountRecord) -> str:
        """Return how the caller names an account."""
        return address(record, self.peer.uid)

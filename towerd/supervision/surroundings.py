"""The daemon's parts, as every account is handed them.

The one rule: an account gets at the rest of the daemon through these and through nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from towerd.accounts.ledger import Ledger
from towerd.audit import Auditor
from towerd.clock import Clock
from towerd.config import Config
from towerd.settings import Settings
from towerd.supervision.fleet import Fleet
from towerd.supervision.gate import StartGate
from towerd.supervision.roster import Roster
from towerd.supervision.spawn import Spawner
from towerd.supervision.stores import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every account needs of the daemon."""

    settings: Settings
    clock: Clock
    ledger: Ledger
    auditor: Auditor
    roster: Roster
    fleet: Fleet
    gate: StartGate
    spawner: Spawner
    stores: Stores

    @property
    def config(self) -> Config:
        """The configuration that runs now; a reload replaces it."""
        return self.settings.current

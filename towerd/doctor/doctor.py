"""The doctor: takes the daemon's state down and has it examined.

The one rule: what is examined is what the caller may see; what is about the daemon itself is for admins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord
from towerd.clock import Clock
from towerd.config_files import config_files
from towerd.configuration import Configuration
from towerd.doctor.findings import Finding
from towerd.doctor.patient import AccountSight, ChannelSight, PairingSight, Patient, WorkerSight
from towerd.doctor.rounds import Rounds
from towerd.incidents import Incidents, account_trouble
from towerd.notify import Notifier
from towerd.paths import Paths
from towerd.settings import Settings
from towerd.supervision.fleet import Fleet
from towerd.supervision.keeper import Keeper
from towerd.supervision.stores import Stores


class Doctor:
    """Examines the daemon that it is part of.

    Args:
        problems: returns what does not work as it should, as far as the daemon knows.
        environment: what programs of the daemon know of its own.
    """

    def __init__(
        self,
        *,
        paths: Paths,
        settings: Settings,
        configuration: Configuration,
        ledger: Ledger,
        fleet: Fleet,
        stores: Stores,
        incidents: Incidents,
        notifier: Notifier,
        clock: Clock,
        problems: Callable[[], Sequence[str]],
        environment: Mapping[str, str],
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._configuration = configuration
        self._ledger = ledger
        self._fleet = fleet
        self._stores = stores
        self._incidents = incidents
        self._notifier = notifier
        self._clock = clock
        self._problems = problems
        self._environment = environment
        self._started_at = clock.now()
        self._rounds = Rounds()

    async def examine(
        self, keepers: Sequence[Keeper], address: Callable[[AccountRecord], str], *, is_admin: bool
    ) -> list[Finding]:
        """Return what is found.

        Args:
            keepers: the accounts that the caller may see.
            address: how the caller names an account.
            is_admin: the caller may know of the daemon itself.
        """
        patient = self._take_down(keepers, address, is_admin=is_admin)
        return await self._rounds.examine(patient, is_about_accounts=not is_admin)

    def _take_down(
        self, keepers: Sequence[Keeper], address: Callable[[AccountRecord], str], *, is_admin: bool
    ) -> Patient:
        config = self._settings.current
        return Patient(
            clock=self._clock,
            now=self._clock.now(),
            own_uid=os.getuid(),
            paths=self._paths,
            environment=self._environment,
            config_files=tuple(config_files(self._paths.config)),
            difference=self._configuration.difference,
            accounts=tuple(self._sight(one, address(one.account.record)) for one in keepers),
            key_name=self._stores.key_name,
            seal_trouble=self._stores.trouble,
            registry_trouble=self._ledger.trouble,
            fleet_cause=self._fleet.cause,
            fleet_held=len(self._fleet.held),
            problems=tuple(self._problems()),
            channels=tuple(
                ChannelSight(
                    name=way.name,
                    program=way.program() or "",
                    trouble=way.trouble,
                    delivered_at=way.delivered_at,
                )
                for way in self._notifier.channels
            ),
            open_incidents=len(self._incidents.open),
            memory_max_mb=config.workers.memory_max_mb,
            # A connection that is quiet makes a round trip, which may take its time as well.
            alive_seconds=config.truth.quiet_seconds + config.truth.probe_seconds,
            is_admin=is_admin,
        )

    def _sight(self, keeper: Keeper, address: str) -> AccountSight:
        record, worker = keeper.account.record, keeper.carrier.worker
        return AccountSight(
            record=record,
            address=address,
            trouble=account_trouble(record, keeper.condition),
            is_doubtful=keeper.condition.is_doubtful,
            worker=WorkerSight(pid=worker.pid, memory_bytes=worker.memory_bytes()) if worker else None,
            pairing=self._pairing(keeper),
        )

    def _pairing(self, keeper: Keeper) -> PairingSight | None:
        attempt, now = keeper.account.attempt, self._clock.monotonic()
        if attempt is None:
            return None
        if attempt.offered_until is not None:
            without = now - attempt.offered_until
        else:
            # An attempt of an earlier run goes on in this one.
            without = self._clock.now() - max(attempt.started_at, self._started_at)
        is_on_offer = attempt.current(now) is not None or attempt.current_code(now) is not None
        return PairingSight(is_on_offer=is_on_offer, without_seconds=max(0.0, without))

"""What needs a human: one incident from when it shows until all has been well for a while.

The one rule: incidents follow what is true, looked at again and again, never single events. So a restart, a
lost event or a flapping line makes no second incident and loses none.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from sessions.redactor import redact
from sessions.states import State
from towerd.accounts.ledger import Ledger
from towerd.accounts.records import AccountRecord, EventDraft, IncidentRecord
from towerd.clock import Clock
from towerd.configuration import Configuration
from towerd.dropins import DropIns
from towerd.notices import OVER
from towerd.reasons import action_for
from towerd.supervision.fleet import Fleet
from towerd.supervision.health import Condition
from towerd.supervision.supervisor import Supervisor

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
CLOSED = "closed"
"""Stands among what was told when the end was."""

LOST_LINKS = frozenset({"logged-out-by-phone", "wrong-phone", "duplicate-phone", "locked", "banned"})
"""Causes of a missing link that no operator of ours has brought about."""

BY_OPERATOR = frozenset({"unpaired-by-operator", "logged-out-by-operator"})
"""Reasons of `unpaired` that somebody wanted so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What needs a human, as it is seen now.

    Attributes:
        subject: what it is about: an account's id, or a part of the daemon.
        kind: a slug that says what kind of trouble.
        line: the fact, in one line.
        action: what a human can do.
        account: the account that it is about, if it is about one.
    """

    subject: str
    kind: str
    line: str
    action: str | None
    account: AccountRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What one look has found.

    Attributes:
        troubles: one per subject at most.
        unsettled: subjects that are neither in trouble nor well; their incidents stay as they are.
        outcomes: how the subjects stand that are well; one that is in none of the three is gone.
    """

    troubles: Sequence[Trouble] = ()
    unsettled: frozenset[str] = frozenset()
    outcomes: dict[str, str] = field(default_factory=dict)


def account_trouble(record: AccountRecord, condition: Condition) -> Trouble | None:
    """Return what somebody has to do about an account, None when it gets along by itself."""
    if record.desired == "stopped":
        return None
    kind = _kind(record, is_tired=condition.is_tired)
    if kind is None:
        return None
    reason = record.reason if kind == "reconnects-failed" else kind
    why = ": ".join(words for words in (reason, record.detail) if words)
    words = f"{kind} ({why})" if kind == "reconnects-failed" and why else why or kind
    return Trouble(
        subject=record.id,
        kind=kind,
        line=f"{record.name}: {words}",
        action=action_for(reason, record.name),
        account=record,
    )


def _kind(record: AccountRecord, *, is_tired: bool) -> str | None:
    match record.state:
        case State.CONNECTED | State.STOPPED:
            return None
        case State.FAILED:
            return record.reason or State.FAILED.value
        case State.RECONNECTING if record.reason == "banned-until":
            return "banned-until"
        # Those that the fleet breaker holds are the fleet's incident.
        case State.RECONNECTING if is_tired and record.reason != "fleet-held":
            return "reconnects-failed"
    if record.is_linked and record.state is not State.LOGGED_OUT:
        return None
    return next((cause for cause in (record.reason, record.cause) if cause in LOST_LINKS), None)


def account_outcome(record: AccountRecord) -> str | None:
    """Return in a word how an account stands that is well, None while that is open."""
    if record.desired == "stopped":
        return State.STOPPED.value
    if record.state is State.CONNECTED:
        return State.CONNECTED.value
    if record.state is State.UNPAIRED and record.reason in BY_OPERATOR:
        return record.reason
    return None


def fleet_trouble(fleet: Fleet) -> Trouble | None:
    """Return that accounts are held, None while they are not."""
    if not fleet.is_open:
        return None
    return Trouble(
        subject="fleet",
        kind="fleet-held",
        line=f"accounts are held back: {fleet.cause}",
        action=action_for("fleet-held", ""),
    )


def registry_trouble(ledger: Ledger) -> Trouble | None:
    """Return that the account database cannot be written, None while it can."""
    if ledger.trouble is None:
        return None
    return Trouble(
        subject="registry",
        kind="registry-unavailable",
        line=f"the account database cannot be written: {ledger.trouble}",
        action="look at the disk and the permissions of the state directory: towerctl doctor",
    )


def config_trouble(configuration: Configuration) -> Trouble | None:
    """Return that the files are not valid, with which the next start would not begin; None while they are."""
    mistakes = configuration.difference.mistakes
    if not mistakes:
        return None
    more = f" (and {len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return Trouble(
        subject="config",
        kind="config-broken",
        line=f"the configuration on the disk is not valid: {mistakes[0]}{more}",
        action="correct it, then run: towerctl reload",
    )


def problem_troubles(problems: Iterable[str]) -> list[Trouble]:
    """Return the daemon's problems, one each."""
    return [
        Trouble(subject=f"problem: {problem}", kind="problem", line=problem, action="see: towerctl status")
        for problem in problems
    ]


def drop_in_troubles(problems: Iterable[str]) -> list[Trouble]:
    """Return what is wrong with files that declare accounts, one each."""
    return [
        Trouble(
            subject=f"drop-in: {problem}",
            kind="drop-in-broken",
            line=problem,
            action="correct the file; towerd sees it at once",
        )
        for problem in problems
    ]


def outlook(
    supervisor: Supervisor,
    fleet: Fleet,
    ledger: Ledger,
    configuration: Configuration,
    drop_ins: DropIns,
    problems: Iterable[str],
) -> Outlook:
    """Look at everything once."""
    keepers = supervisor.keepers
    found = [account_trouble(keeper.account.record, keeper.condition) for keeper in keepers]
    found += [fleet_trouble(fleet), registry_trouble(ledger), config_trouble(configuration)]
    troubles = [one for one in found if one is not None]
    troubles += [*drop_in_troubles(drop_ins.problems), *problem_troubles(problems)]
    in_trouble = {one.subject for one in troubles}
    standing = {
        keeper.account.record.id: account_outcome(keeper.account.record)
        for keeper in keepers
        if keeper.account.record.id not in in_trouble
    }
    return Outlook(
        troubles=troubles,
        unsettled=frozenset(subject for subject, outcome in standing.items() if outcome is None),
        outcomes={subject: outcome for subject, outcome in standing.items() if outcome is not None},
    )


class Incidents:
    """The incidents that are open, and those of whose end somebody has not been told.

    Args:
        look: looks at everything once.
        ledger: keeps them, and takes the events.
        clock: gives times, and measures how long a subject has been well.
        well_seconds: for so long a subject must have been well before its incident is over.
        channels: returns the names of those who are to be told.
    """

    def __init__(
        self,
        look: Callable[[], Outlook],
        *,
        ledger: Ledger,
        clock: Clock,
        well_seconds: Callable[[], float],
        channels: Callable[[], Sequence[str]],
    ) -> None:
        self._look = look
        self._ledger = ledger
        self._clock = clock
        self._well_seconds = well_seconds
        self._channels = channels
        self._open: dict[str, IncidentRecord] = {}
        self._over: dict[str, IncidentRecord] = {}
        self._well_since: dict[str, float] = {}
        self._watchers: list[Callable[[], None]] = []

    async def load(self) -> None:
        """Take up what the last run of the daemon left.

        Raises:
            TowerError: `registry-unavailable`.
        """
        for record in await self._ledger.read(lambda registry: registry.unsettled_incidents()):
            if record.closed_at is None:
                self._open[record.subject] = record
            else:
                self._over[record.id] = record

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                self.look()
            except Exception:
                # A bug in here must not end it for good, nor touch anything else.
                log.exception("internal error while looking for incidents")
            await asyncio.sleep(LOOK_SECONDS)

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call a function after each look: there may be something to tell, or a new way to tell it."""
        self._watchers.append(watcher)

    @property
    def open(self) -> list[IncidentRecord]:
        """The incidents that are open, the oldest first."""
        return sorted(self._open.values(), key=lambda one: one.opened_at)

    def due(self, channel: str) -> list[IncidentRecord]:
        """Return what a channel has not told yet, the oldest first."""
        found = [
            one
            for one in (*self._open.values(), *self._over.values())
            if word_of(one) not in one.told.get(channel, ())
        ]
        return sorted(found, key=lambda one: one.opened_at)

    def note_told(self, channel: str, told: Sequence[IncidentRecord]) -> None:
        """Note that a channel has delivered these, as they were then."""
        for then in told:
            now = self._over.get(then.id) or self._open.get(then.subject)
            if now is None or now.id != then.id:
                continue
            words = [*now.told.get(channel, ()), word_of(then)]
            self._keep(msgspec.structs.replace(now, told=now.told | {channel: words}))

    def look(self) -> None:
        """Open, change and close incidents as what is true demands."""
        seen = self._look()
        for trouble in seen.troubles:
            self._well_since.pop(trouble.subject, None)
            incident = self._open.get(trouble.subject)
            if incident is None:
                self._begin(trouble)
            elif incident.kind != trouble.kind:
                self._change(incident, trouble)
        in_trouble = {trouble.subject for trouble in seen.troubles}
        now = self._clock.monotonic()
        for subject in [one for one in self._open if one not in in_trouble]:
            if subject in seen.unsettled:
                self._well_since.pop(subject, None)
            elif now - self._well_since.setdefault(subject, now) >= self._well_seconds():
                incident = self._open[subject]
                gone = "removed" if incident.account_id else OVER
                self._end(incident, seen.outcomes.get(subject, gone))
        for incident in list(self._over.values()):
            if self._is_told(incident):
                # Whoever was to be told of its end is not to be told any more.
                self._keep(incident)
        for watcher in self._watchers:
            watcher()

    def _begin(self, trouble: Trouble) -> None:
        account = trouble.account
        incident = IncidentRecord(
            id=f"i-{secrets.token_hex(5)}",
            subject=trouble.subject,
            kind=trouble.kind,
            line=redact(trouble.line),
            action=trouble.action,
            account_id=account.id if account else None,
            account_name=account.name if account else None,
            owner_uid=account.owner_uid if account else None,
            opened_at=self._clock.now(),
        )
        log.warning("incident %s: %s", incident.id, incident.line)
        self._keep(incident, "incident.opened", kind=incident.kind, line=incident.line)

    def _change(self, incident: IncidentRecord, trouble: Trouble) -> None:
        changed = msgspec.structs.replace(
            incident, kind=trouble.kind, line=redact(trouble.line), action=trouble.action
        )
        self._keep(changed, "incident.changed", kind=changed.kind, line=changed.line)

    def _end(self, incident: IncidentRecord, outcome: str) -> None:
        del self._open[incident.subject], self._well_since[incident.subject]
        log.info("incident %s is over%s", incident.id, "" if outcome == OVER else f": {outcome}")
        over = msgspec.structs.replace(incident, closed_at=self._clock.now(), outcome=outcome)
        self._keep(over, "incident.closed", kind=over.kind, outcome=outcome)

    def _keep(self, incident: IncidentRecord, event: str | None = None, **data: Any) -> None:
        """Remember an incident, here and on the disk, until everybody was told of its end."""
        if incident.closed_at is None:
            self._open[incident.subject] = incident
        elif self._is_told(incident):
            self._over.pop(incident.id, None)
            incident = msgspec.structs.replace(incident, is_settled=True)
        else:
            self._over[incident.id] = incident
        events = [self._draft(event, incident, data)] if event is not None else []
        self._ledger.post(incident=incident, events=events)

    def _is_told(self, incident: IncidentRecord) -> bool:
        return all(CLOSED in incident.told.get(channel, ()) for channel in self._channels())

    def _draft(self, event: str, incident: IncidentRecord, data: dict[str, Any]) -> EventDraft:
        return EventDraft(
            time=self._clock.now(),
            type=event,
            account_id=incident.account_id,
            account_name=incident.account_name,
            owner_uid=incident.owner_uid,
            data={"incident": incident.id} | data,
        )


def word_of(incident: IncidentRecord) -> str:
    """Return what has to be told of an incident now: its kind, or that it is over."""
    return incident.kind if incident.closed_at is None else CLOSED
